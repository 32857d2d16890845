"""SageMaker training jobs as the local cloud has them, through boto3 against a running cloud."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference-neuronx:2.8.0"
ROLE = "arn:aws:iam::000000000000:role/training"
KEY = "arn:aws:kms:us-east-1:000000000000:key/0a0a0a0a-0000-0000-0000-000000000000"
# What a container of ours does: reads the platform's files, writes where the platform looks.
PROGRAM = """
import json, os, pathlib, signal, sys, time
root = pathlib.Path(os.environ["SD_OPT_ML"])
settings = json.loads((root / "input/config/hyperparameters.json").read_text())
earlier = sorted(path.name for path in (root / "checkpoints").iterdir())
print("earlier checkpoints:", earlier, flush=True)
(root / "checkpoints" / settings["part"]).write_text("done")
def end(number, frame):
    (root / "checkpoints" / "on-stop").write_text("saved")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
if settings["end"] == "wait":
    time.sleep(600)
if settings["end"] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if settings["end"] == "fail":
    (root / "output/failure").write_text("the unet did not trace")
    sys.exit(2)
weights = (root / "input/data/weights/deep/weights.bin").read_text()
facts = {"weights": weights, "keys": "AWS_ACCESS_KEY_ID" in os.environ}
(root / "model/inner").mkdir()
(root / "model/inner/facts.json").write_text(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[ChildCloud]:
    with ChildCloud() as running:
        s3, iam = running.client("s3"), running.client("iam")
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="weights/deep/weights.bin", Body=b"numbers")
        s3.put_object(Bucket="bucket", Key="code/program.py", Body=PROGRAM.encode())
        trusted = {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        allowed = {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
            "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"],
        }
        iam.create_role(RoleName="training", AssumeRolePolicyDocument=policy(trusted))
        iam.put_role_policy(RoleName="training", PolicyName="p", PolicyDocument=policy(allowed))
        keyed = {"Effect": "Allow", "Action": "kms:Encrypt", "Resource": KEY}
        iam.create_role(RoleName="encrypting", AssumeRolePolicyDocument=policy(trusted))
        for name, statement in (("p", allowed), ("key", keyed)):
            iam.put_role_policy(
                RoleName="encrypting", PolicyName=name, PolicyDocument=policy(statement)
            )
        yield running


def policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Job:
    def __init__(self, cloud: ChildCloud, name: str) -> None:
        self.cloud, self.name = cloud, name
        self.sagemaker = cloud.client("sagemaker")

    def create(self, end: str = "well", **changes: Any) -> Job:
        def channel(name: str) -> dict[str, Any]:
            source = {
                "S3DataType": "S3Prefix",
                "S3Uri": f"s3://bucket/{name}/",
                "S3DataDistributionType": "FullyReplicated",
            }
            return {"ChannelName": name, "DataSource": {"S3DataSource": source}}

        request = {
            "TrainingJobName": self.name,
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["bash", "-c"],
                "ContainerArguments": [
                    'cd "${SD_OPT_ML:-/opt/ml}/input/data/code" && exec python3 -m program'
                ],
            },
            "HyperParameters": {"part": "unet", "end": end},
            "RoleArn": ROLE,
            "InputDataConfig": [channel("weights"), channel("code")],
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out", "CompressionType": "NONE"},
            "ResourceConfig": {
                "InstanceType": "ml.trn1.2xlarge",
                "InstanceCount": 1,
                "VolumeSizeInGB": 100,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "CheckpointConfig": {
                "S3Uri": f"s3://bucket/{self.name}/checkpoints/",
                "LocalPath": "/opt/ml/checkpoints",
            },
            "EnableNetworkIsolation": True,
            **changes,
        }
        self.sagemaker.create_training_job(**request)
        return self

    def described(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=self.name)
        return answer

    def ended(self) -> dict[str, Any]:
        until(lambda: self.described()["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"))
        return self.described()

    def object(self, key: str) -> str:
        body = self.cloud.client("s3").get_object(Bucket="bucket", Key=key)["Body"]
        text: str = body.read().decode()
        return text

    def log(self) -> list[str]:
        logs = self.cloud.client("logs")
        group = "/aws/sagemaker/TrainingJobs"
        streams = logs.describe_log_streams(
            logGroupName=group, logStreamNamePrefix=f"{self.name}/algo-1-"
        )["logStreams"]
        events = logs.get_log_events(
            logGroupName=group, logStreamName=streams[0]["logStreamName"], startFromHead=True
        )["events"]
        return [event["message"] for event in events]


def test_a_job_gets_its_channels_and_leaves_its_model_uncompressed(cloud: ChildCloud) -> None:
    cloud.client("s3").put_object(Bucket="bucket", Key="good/checkpoints/vae", Body=b"done")

    job = Job(cloud, "good").create()
    described = job.ended()

    assert described["TrainingJobStatus"] == "Completed"
    assert described["ModelArtifacts"]["S3ModelArtifacts"] == "s3://bucket/out/good/output/model/"
    assert json.loads(job.object("out/good/output/model/inner/facts.json")) == {
        "weights": "numbers",
        "keys": False,
    }
    assert job.object("good/checkpoints/unet") == "done"
    assert "earlier checkpoints: ['vae']" in job.log()
    passed = [transition["Status"] for transition in described["SecondaryStatusTransitions"]]
    assert passed == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert described["TrainingStartTime"] <= described["TrainingEndTime"]


def test_a_failure_has_the_containers_reason_and_keeps_its_checkpoints(cloud: ChildCloud) -> None:
    job = Job(cloud, "bad").create("fail")
    described = job.ended()

    assert described["TrainingJobStatus"] == "Failed"
    assert described["FailureReason"] == "AlgorithmError: the unet did not trace, exit code: 2"
    assert "ModelArtifacts" not in described
    assert job.object("bad/checkpoints/unet") == "done"


def test_a_container_killed_for_memory_says_nothing_but_its_status(cloud: ChildCloud) -> None:
    described = Job(cloud, "killed").create("killed").ended()

    assert described["FailureReason"] == "AlgorithmError: , exit code: 137"


def test_an_output_key_takes_the_role_s_leave_to_encrypt(cloud: ChildCloud) -> None:
    output = {"S3OutputPath": "s3://bucket/out", "CompressionType": "NONE", "KmsKeyId": KEY}

    refused = Job(cloud, "keyless").create(OutputDataConfig=output).ended()

    assert refused["TrainingJobStatus"] == "Failed"
    assert "not authorized to perform: kms:Encrypt" in refused["FailureReason"]
    role = f"{ROLE.rsplit('/', 1)[0]}/encrypting"
    job = Job(cloud, "keyed").create(OutputDataConfig=output, RoleArn=role)
    assert job.ended()["TrainingJobStatus"] == "Completed"


def test_a_stop_lets_the_container_save_what_it_has(cloud: ChildCloud) -> None:
    job = Job(cloud, "stopped").create("wait")
    until(lambda: "TrainingStartTime" in job.described() and len(job.log()) > 0)
    assert listed(job, NameContains="stop", StatusEquals="InProgress") == ["stopped"]

    job.sagemaker.stop_training_job(TrainingJobName="stopped")

    described = job.ended()
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert job.object("stopped/checkpoints/on-stop") == "saved"
    with pytest.raises(ClientError, match="in status Stopped"):
        job.sagemaker.stop_training_job(TrainingJobName="stopped")


def test_a_job_past_its_time_is_stopped(cloud: ChildCloud) -> None:
    job = Job(cloud, "late").create("wait", StoppingCondition={"MaxRuntimeInSeconds": 1})

    assert job.ended()["SecondaryStatus"] == "MaxRuntimeExceeded"


def test_a_channel_without_data_fails_the_job(cloud: ChildCloud) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/nothing/"}
    channel = {"ChannelName": "weights", "DataSource": {"S3DataSource": source}}

    described = Job(cloud, "dataless").create(InputDataConfig=[channel]).ended()

    assert described["TrainingJobStatus"] == "Failed"
    assert "No data at s3://bucket/nothing/" in described["FailureReason"]


def listed(job: Job, **request: Any) -> list[str]:
    """On the first page."""
    found = job.sagemaker.list_training_jobs(**request)["TrainingJobSummaries"]
    return [item["TrainingJobName"] for item in found]


def test_a_page_of_jobs_is_taken_before_their_status_is_looked_at(cloud: ChildCloud) -> None:
    """Asked for one that runs, the API looks at one, whichever comes first."""
    Job(cloud, "page-ended").create().ended()
    job = Job(cloud, "page-runs").create("wait")
    wanted = {"NameContains": "page-", "StatusEquals": "InProgress"}

    assert listed(job, **wanted, MaxResults=1) == []
    assert listed(job, **wanted) == ["page-runs"]
    pages = job.sagemaker.get_paginator("list_training_jobs").paginate(
        **wanted, PaginationConfig={"PageSize": 1}
    )
    assert [len(page["TrainingJobSummaries"]) for page in pages] == [0, 1]
    job.sagemaker.stop_training_job(TrainingJobName="page-runs")


@pytest.fixture
def fault(cloud: ChildCloud) -> Iterator[Callable[[str], None]]:
    folder = cloud.state / "faults"
    folder.mkdir(exist_ok=True)
    yield lambda name: (folder / name).touch()
    for path in folder.iterdir():
        path.unlink()


def test_missing_capacity_fails_a_job_that_never_starts(
    cloud: ChildCloud, fault: Callable[[str], None]
) -> None:
    fault("training-capacity")

    described = Job(cloud, "capacity").create().ended()

    assert described["FailureReason"].startswith("CapacityError: ")
    assert "TrainingStartTime" not in described


def test_a_quota_of_none_refuses_the_job(cloud: ChildCloud, fault: Callable[[str], None]) -> None:
    fault("training-quota")

    with pytest.raises(ClientError, match=r"'ml\.trn1\.2xlarge for training job usage' is 0") as e:
        Job(cloud, "quota").create()
    assert e.value.response["Error"]["Code"] == "ResourceLimitExceeded"


def test_a_name_is_used_once(cloud: ChildCloud) -> None:
    Job(cloud, "once").create()
    with pytest.raises(ClientError) as caught:
        Job(cloud, "once").create()
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"


def test_whoever_starts_a_job_must_be_allowed_to_pass_its_role(cloud: ChildCloud) -> None:
    import boto3

    iam = cloud.client("iam")
    iam.create_user(UserName="starter")
    keys = iam.create_access_key(UserName="starter")["AccessKey"]
    create = {"Effect": "Allow", "Action": "sagemaker:CreateTrainingJob", "Resource": "*"}
    iam.put_user_policy(UserName="starter", PolicyName="p", PolicyDocument=policy(create))
    job = Job(cloud, "passed-role")
    job.sagemaker = boto3.client(
        "sagemaker",
        endpoint_url=cloud.settings.url,
        region_name="us-east-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
    )

    with pytest.raises(ClientError, match="iam:PassRole"):
        job.create()

    both = {**create, "Action": ["sagemaker:CreateTrainingJob", "iam:PassRole"]}
    iam.put_user_policy(UserName="starter", PolicyName="p", PolicyDocument=policy(both))
    job.create()


def until(question: Callable[[], Any], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if question():
                return
        except (ClientError, IndexError):
            pass
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
