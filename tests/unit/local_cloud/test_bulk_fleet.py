"""Batches on a spot fleet of the local cloud: the serving image's own container, interrupted,
killed, and started again."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from local_cloud.child import ChildCloud
from sd_contract.batch import BatchKeys, UnitResult, WorkLine
from sd_contract.bulk_job import COMMAND, MODEL, WORK, BulkJob
from tests.fakes.local_account import allow, arn, fault, make_role, wait_for
from tests.fakes.processes import descendants
from tests.fakes.serving import ENV, request
from tests.fakes.serving_image import push_serving_image
from tests.fakes.training_job import LOGS

BUCKET = "bulk-batches"
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/serving:1"
LINE_IMAGES, PART_LINES = 4, 3


@pytest.fixture(scope="module", autouse=True)
def account(cloud: ChildCloud) -> None:
    """A bucket, the serving image with a slow model that needs no weights, and the job's role."""
    push_serving_image(cloud, "serving")
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    # So that a picture that is stored twice is seen.
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=BUCKET, Key="model/manifest.json", Body=b"{}")
    make_role(
        cloud,
        "bulk-job",
        "sagemaker",
        allow("s3:GetObject s3:PutObject", f"arn:aws:s3:::{BUCKET}/*"),
        allow("s3:ListBucket", f"arn:aws:s3:::{BUCKET}"),
        allow("ecr:BatchGetImage ecr:GetDownloadUrlForLayer", arn("ecr", "repository/serving")),
        allow("ecr:GetAuthorizationToken"),
        LOGS,
    )


class Batch:
    """Of `pictures`, in lines of LINE_IMAGES and parts of PART_LINES."""

    def __init__(self, cloud: ChildCloud, name: str, pictures: int, instances: int) -> None:
        self.cloud, self.name, self.instances = cloud, name, instances
        self.keys, self.s3 = BatchKeys(name), cloud.client("s3")
        self.sagemaker = cloud.client("sagemaker")
        self.lines = [
            WorkLine.of(
                number,
                f"request-{number}",
                request(num_images=LINE_IMAGES, seed=number * 100, num_inference_steps=1),
                lambda _: "",
            )
            for number in range(1, pictures // LINE_IMAGES + 1)
        ]
        for part, start in enumerate(range(0, len(self.lines), PART_LINES)):
            text = "".join(f"{line.to_json()}\n" for line in self.lines[start : start + PART_LINES])
            self.s3.put_object(Bucket=BUCKET, Key=self.keys.part(part), Body=text.encode())

    @property
    def units(self) -> set[str]:
        return {unit.name for line in self.lines for unit in line.units}

    def start(self, tries: int = 1) -> str:
        """The job's name."""

        def channel(name: str, prefix: str, distribution: str) -> dict[str, Any]:
            source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{prefix}"}
            source["S3DataDistributionType"] = distribution
            return {"ChannelName": name, "DataSource": {"S3DataSource": source}}

        job = f"{self.name.replace('_', '-')}-{tries}"
        self.sagemaker.create_training_job(
            TrainingJobName=job,
            AlgorithmSpecification={
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": list(COMMAND),
            },
            RoleArn="arn:aws:iam::000000000000:role/bulk-job",
            InputDataConfig=[
                channel(MODEL, "model/", "FullyReplicated"),
                channel(WORK, self.keys.work, "ShardedByS3Key"),
            ],
            OutputDataConfig={
                "S3OutputPath": f"s3://{BUCKET}/{self.keys.folder}job",
                "CompressionType": "NONE",
            },
            ResourceConfig={
                "InstanceType": "ml.g5.xlarge",
                "InstanceCount": self.instances,
                "VolumeSizeInGB": 30,
            },
            StoppingCondition={"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200},
            EnableManagedSpotTraining=True,
            EnableNetworkIsolation=False,
            Environment={**ENV, **BulkJob(BUCKET, self.name).to_env()},
        )
        return job

    def results(self) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=self.keys.results
        )
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def has(self, results: int) -> Callable[[], bool]:
        return lambda: len(self.results()) >= results

    def described(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=job)
        return found

    def ended(self, job: str) -> dict[str, Any]:
        running = ("InProgress", "Stopping")
        wait_for(lambda: self.described(job)["TrainingJobStatus"] not in running, 240)
        return self.described(job)

    def drawn(self) -> Counter[str]:
        """How often each unit's picture was stored."""
        pages = self.s3.get_paginator("list_object_versions").paginate(
            Bucket=BUCKET, Prefix=f"{self.keys.folder}pictures/"
        )
        versions = [each for page in pages for each in page.get("Versions", [])]
        return Counter(Path(each["Key"]).stem for each in versions)


def kill_container(cloud: ChildCloud, job: str) -> None:
    """As the kernel does, for want of memory."""
    for process, environment in descendants(cloud.pid):
        if environment.get("TRAINING_JOB_NAME") == job:
            process.kill()
            return
    raise AssertionError(f"no container of {job}")


def test_two_batches_lose_and_double_nothing_whatever_ends_their_containers(
    cloud: ChildCloud,
) -> None:
    """A container killed after the 80th of 200 pictures, spot interrupted after the 120th."""
    large, small = Batch(cloud, "large_1", 200, 2), Batch(cloud, "small_1", 60, 1)
    first, beside = large.start(), small.start()

    wait_for(large.has(80), 240)
    kill_container(cloud, first)
    assert large.ended(first)["FailureReason"] == "AlgorithmError: , exit code: 137"
    second = large.start(tries=2)
    wait_for(large.has(120), 240)
    with fault(cloud, "no-spot-capacity"):
        wait_for(lambda: "Interrupted" in statuses(large, second))
        done = set(large.results())
        assert len(done) < 200
    assert large.ended(second)["TrainingJobStatus"] == "Completed"
    assert small.ended(beside)["TrainingJobStatus"] == "Completed"

    for batch, lives in ((large, 2 * large.instances), (small, small.instances)):
        results = [
            UnitResult.from_json(batch.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
            for key in batch.results()
        ]
        assert [result.name for result in results] == sorted(batch.units)
        drawn = batch.drawn()
        assert set(drawn) == batch.units
        # What each instance had at hand when its container ended, at most.
        assert sum(drawn.values()) - len(batch.units) <= lives
    assert done <= set(large.results())
    key = results[0].key
    assert key is not None
    picture = Image.open(io.BytesIO(small.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()))
    assert picture.size == (64, 64)


def statuses(batch: Batch, job: str) -> list[str]:
    return [each["Status"] for each in batch.described(job)["SecondaryStatusTransitions"]]


def test_a_job_that_is_stopped_keeps_what_is_drawn(cloud: ChildCloud) -> None:
    batch = Batch(cloud, "cancelled_1", 200, 1)
    job = batch.start()
    wait_for(batch.has(5), 240)
    before = len(batch.results())
    batch.sagemaker.stop_training_job(TrainingJobName=job)
    assert batch.ended(job)["TrainingJobStatus"] == "Stopped"
    # More than there were: the picture at hand, and what came between the look and the stop.
    assert before <= len(batch.results()) < 200
    assert len(batch.results()) == len(batch.drawn())
