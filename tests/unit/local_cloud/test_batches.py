"""Batches through every service that they need, each function under its own role: the templates'
stacks, with toys for variants."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from local_cloud.child import ChildCloud
from sd_contract.fleet import BulkFleet, Fleet
from sd_contract.invocation import STAGES, Answer
from tests.fakes.deployed_batches import DeployedBatches
from tests.fakes.front_door import PNG
from tests.fakes.heard_events import HeardEvents
from tests.fakes.local_account import allow, arn, fault, make_role, wait_for
from tests.fakes.processes import descendants
from tests.fakes.serving import ENV
from tests.fakes.serving_image import push_serving_image
from tests.fakes.toy_endpoint import PULLS_LOADS_LOGS, ToyEndpoint

PREFIX = "bat"
SEED = 7
ABOUT = {"images_in_batch": 1, "prompt_tokens": 5, "negative_prompt_tokens": 2}
ANSWER = Answer((PNG,), (SEED,), dict.fromkeys(STAGES, 1.0), ABOUT).to_json().decode()


@pytest.fixture(scope="module")
def batches(cloud: ChildCloud, tmp_path_factory: pytest.TempPathFactory) -> DeployedBatches:
    return DeployedBatches(cloud, tmp_path_factory.mktemp("batches"), PREFIX)


@pytest.fixture(scope="module")
def events(cloud: ChildCloud, batches: DeployedBatches) -> HeardEvents:
    return HeardEvents(cloud, "ended-batches", {"source": [f"{batches.prefix}.batches"]})


def check_pictures(batches: DeployedBatches, batch: dict[str, Any], seeds: list[int]) -> None:
    """One a line, each where its link says."""
    lines = batches.lines(batch["output_file_id"])
    assert [line["custom_id"] for line in lines] == [f"{n}" for n in range(len(seeds))]
    pictures = [line["response"]["body"]["data"][0] for line in lines]
    assert [picture["seed"] for picture in pictures] == seeds
    got = httpx.get(pictures[-1]["url"])
    assert (got.status_code, got.headers["content-type"]) == (200, "image/png")


def test_a_batch_on_a_real_time_endpoint(
    cloud: ChildCloud, batches: DeployedBatches, events: HeardEvents
) -> None:
    endpoint = f"{PREFIX}-g5"
    ToyEndpoint(cloud, endpoint).create(Environment={"ANSWER": ANSWER})
    batches.register("g5", endpoint, Fleet(("real-time",), None, None))
    id = batches.begin("g5", [{"prompt": "a red fox", "seed": SEED}] * 6)
    batch = batches.ended(id)
    assert (batch["status"], batch["engine"]) == ("completed", "real-time")
    assert batch["request_counts"] == {"total": 6, "completed": 6, "failed": 0}
    check_pictures(batches, batch, [SEED] * 6)
    assert id in [event["detail"]["id"] for event in events.first(1)]


def kill_functions(cloud: ChildCloud, name: str) -> int:
    """How many processes there were of functions whose names have that part."""
    killed = 0
    for process, environment in descendants(cloud.pid):
        if name in environment.get("AWS_LAMBDA_FUNCTION_NAME", ""):
            process.kill()
            killed += 1
    return killed


def test_a_worker_that_is_killed_leaves_its_picture_to_the_next(
    cloud: ChildCloud, batches: DeployedBatches
) -> None:
    bucket, (queue,) = batches.exported("RefFiles"), batches.queues("FunctionsUnits")
    s3, sqs = cloud.client("s3"), cloud.client("sqs")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    # Minutes otherwise, which the function may take.
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "5"})
    ToyEndpoint(cloud, f"{PREFIX}-killed").create(Environment={"ANSWER": ANSWER, "SLOW": "0.1"})
    batches.register("killed", f"{PREFIX}-killed", Fleet(("real-time",), None, None))
    id = batches.begin("killed", [{"prompt": "a red fox", "seed": SEED}] * 16)

    def drawn() -> list[str]:
        """A name for each time that a picture was stored."""
        found = s3.list_object_versions(Bucket=bucket, Prefix=f"batches/{id}/pictures/")
        return [version["Key"] for version in found.get("Versions", [])]

    killed = 0
    for pictures in (4, 9):
        wait_for(lambda least=pictures: len(drawn()) >= least, 120)
        killed += kill_functions(cloud, "BatchStack-FunctionsWorker")
    assert killed >= 2
    batch = batches.ended(id, 120)
    assert batch["request_counts"] == {"total": 16, "completed": 16, "failed": 0}
    check_pictures(batches, batch, [SEED] * 16)
    assert len(set(drawn())) == 16
    assert len(drawn()) <= 16 + killed
    assert batch["usage"]["pictures"] == 16


def test_a_batch_on_an_asynchronous_endpoint(cloud: ChildCloud, batches: DeployedBatches) -> None:
    bucket, endpoint = batches.exported("RefFiles"), f"{PREFIX}-djl-async"
    topics = {kind: batches.exported(f"Ref{kind}") for kind in ("Answered", "Failed")}
    make_role(
        cloud,
        "batches-async",
        "sagemaker",
        *PULLS_LOADS_LOGS,
        allow("s3:GetObject s3:PutObject", f"arn:aws:s3:::{bucket}/*"),
        allow("s3:ListBucket s3:GetBucketLocation", f"arn:aws:s3:::{bucket}"),
        allow("sns:Publish", *topics.values()),
    )
    ToyEndpoint(cloud, endpoint).create(
        role="batches-async",
        Environment={"ANSWER": ANSWER},
        config={
            "AsyncInferenceConfig": {
                "OutputConfig": {
                    "S3OutputPath": f"s3://{bucket}/async/",
                    "S3FailurePath": f"s3://{bucket}/async/",
                    "NotificationConfig": {
                        "SuccessTopic": topics["Answered"],
                        "ErrorTopic": topics["Failed"],
                    },
                }
            }
        },
    )
    batches.register("djl", f"{PREFIX}-djl", Fleet(("async",), endpoint, None))
    id = batches.begin("djl", [{"prompt": "a red fox", "seed": SEED}] * 6)
    batch = batches.ended(id)
    assert (batch["status"], batch["engine"]) == ("completed", "async")
    check_pictures(batches, batch, [SEED] * 6)


def test_a_batch_on_a_spot_fleet_that_is_interrupted(
    cloud: ChildCloud, batches: DeployedBatches
) -> None:
    repository, *_ = (
        each["repositoryName"]
        for each in cloud.client("ecr").describe_repositories()["repositories"]
        if each["repositoryName"].startswith(f"{PREFIX}storagestack")
    )
    image = push_serving_image(cloud, repository)
    (bucket,) = (
        each["Name"]
        for each in cloud.client("s3").list_buckets()["Buckets"]
        if each["Name"].startswith(f"{PREFIX}storagestack")
    )
    cloud.client("s3").put_object(Bucket=bucket, Key="weights/k/manifest.json", Body=b"{}")
    fleet = BulkFleet(
        image_uri=image,
        role_arn=batches.exported("BulkJobRole"),
        instance_type="ml.g5.xlarge",
        instance_count=2,
        spot=True,
        max_seconds=3600,
        volume_gb=30,
        model_uri=f"s3://{bucket}/weights/k/",
        environment=ENV,
        price_usd_per_hour=1.4084,
        kms_key_arn=arn("kms", "key/of-the-artifact"),
    )
    batches.register("inf2", f"{PREFIX}-inf2", Fleet(("bulk",), None, fleet), sizes=["64x64"])
    body = {"prompt": "a red fox", "num_inference_steps": 1, "size": "64x64"}
    seeds = list(range(120))
    id = batches.begin("inf2", [{**body, "seed": seed} for seed in seeds])
    jobs = cloud.client("sagemaker")

    def job() -> dict[str, Any]:
        named = f"{PREFIX}-bulk"
        for found in jobs.list_training_jobs(NameContains=named)["TrainingJobSummaries"]:
            name = found["TrainingJobName"]
            told: dict[str, Any] = jobs.describe_training_job(TrainingJobName=name)
            return told
        return {"SecondaryStatus": "None"}

    assert batches.validated(id)["errors"] is None
    wait_for(lambda: job()["SecondaryStatus"] == "Training")
    with fault(cloud, "no-spot-capacity"):
        wait_for(lambda: job()["SecondaryStatus"] == "Starting")
    batch = batches.ended(id, 240)
    assert (batch["status"], batch["engine"]) == ("completed", "bulk"), json.dumps(batch)
    check_pictures(batches, batch, seeds)
    billed = job()["BillableTimeInSeconds"] * job()["ResourceConfig"]["InstanceCount"]
    assert batch["usage"]["instance_seconds"] == billed
    assert batch["usage"]["cost_usd"] == pytest.approx(billed * 1.4084 / 3600, rel=0.01)
