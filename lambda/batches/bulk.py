"""Batches as training jobs on a fleet of their own: sd_serving.bulk in the serving image.

A job is started by the worker, which comes back to it while the account's quota is taken, by
another batch's job for one. Its end comes by EventBridge. What has failed is tried again, and goes
on where it was.
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from batches.config import Config
from batches.fleets import Fleets, NoFleet
from batches.queue import BatchQueue, Launch
from batches.real_time import Later
from batches.records import DRAWING, IN_PROGRESS, Batch
from batches.store import NotThere, Store
from batches.tasks import Tasks
from sd_contract.batch import BatchKeys
from sd_contract.bulk_job import COMMAND, MODEL, WORK, BulkJob
from sd_contract.environment import ConfigError
from sd_contract.fleet import BulkFleet

TRIES = 3
"""Of a job that failed; spot interruptions are none of them, as SageMaker goes on by itself."""
ENDED = ("Completed", "Failed", "Stopped")
LEAST_S = 60
"""Of a job's run, however near its batch's deadline."""


@dataclass(frozen=True)
class Bulk:
    """`sagemaker` is botocore's client."""

    queue: BatchQueue
    store: Store
    tasks: Tasks
    config: Config
    fleets: Fleets
    sagemaker: Any
    log: Callable[[dict[str, Any]], None]
    now: Callable[[], float] = time.time

    def start(self, batch: Batch) -> None:
        self.queue.send([Launch(batch.id, batch.model, 1)])

    def stop(self, batch: Batch) -> float | None:
        """Its end comes by EventBridge; one that hasn't begun has none."""
        for tries in range(1, batch.tries + 2):
            self._stop(self._name(batch, tries))
        if not batch.job or self._describe(batch.job)["TrainingJobStatus"] in ENDED:
            return 0.0
        return None

    def launch(self, batch: Batch, told: Launch) -> None:
        """Raises Later."""
        if batch.status != IN_PROGRESS or told.tries <= batch.tries:
            return
        if self.now() > batch.deadline:
            self.tasks.ask("stop", batch.id)
            return
        name = self._name(batch, told.tries)
        try:
            fleet = self.fleets.find(batch.model).bulk
        except NoFleet:
            fleet = None
        if fleet is None:
            raise Later(f"{batch.model} has no bulk fleet now")
        job = self._job(batch, name, fleet)
        try:
            self.sagemaker.create_training_job(**job)
        except ClientError as error:
            code, said = (error.response["Error"][each] for each in ("Code", "Message"))
            if code == "ResourceLimitExceeded" and _never_fits(said, job):
                self._refuse(batch, said)
                return
            if code in ("ResourceLimitExceeded", "ThrottlingException"):
                raise Later(str(error)) from error
            if code != "ResourceInUse":  # started before, and not noted
                raise
        if not self.store.change(batch.id, (IN_PROGRESS,), job=name, tries=told.tries):
            self._stop(name)  # cancelled meanwhile

    def ended(self, name: str) -> None:
        """May be told twice, and of jobs that are none of ours."""
        described = self._describe(name)
        try:
            told = BulkJob.from_env(described.get("Environment", {}))
            batch = self.store.batch(told.batch_id)
        except (ConfigError, NotThere):
            return
        if described["TrainingJobStatus"] not in ENDED:
            return
        if name == self._name(batch, batch.tries + 1):
            # Whoever started it got no further.
            noted = self.store.change(batch.id, (IN_PROGRESS,), job=name, tries=batch.tries + 1)
            batch = noted or batch
        if batch.job != name:
            return
        self.store.change(batch.id, DRAWING, billed_s=self._billed_s(batch))
        self.log(
            {
                "event": "job_ended",
                "batch": batch.id,
                "job": name,
                "status": described["TrainingJobStatus"],
                "secondary_status": described["SecondaryStatus"],
                "reason": described.get("FailureReason"),
            }
        )
        failed = described["TrainingJobStatus"] == "Failed"
        if failed and batch.status == IN_PROGRESS and batch.tries < TRIES:
            self.queue.send([Launch(batch.id, batch.model, batch.tries + 1)])
        elif self.now() > batch.deadline and batch.status == IN_PROGRESS:
            self.tasks.ask("stop", batch.id)
        else:
            self.tasks.ask("finish", batch.id)

    def _refuse(self, batch: Batch, said: str) -> None:
        error = {"code": "quota_too_low", "line": None, "message": said, "param": None}
        self.store.change(batch.id, (IN_PROGRESS,), errors=(error,))
        self.tasks.ask("finish", batch.id)

    def _billed_s(self, batch: Batch) -> int:
        """Of all its tries; a job's are those of one of its instances (DescribeTrainingJob,
        BillableTimeInSeconds)."""
        billed = 0
        for tries in range(1, batch.tries + 1):
            described = self._describe(self._name(batch, tries))
            instances = described["ResourceConfig"]["InstanceCount"]
            billed += described.get("BillableTimeInSeconds", 0) * instances
        return billed

    def _job(self, batch: Batch, name: str, fleet: BulkFleet) -> dict[str, Any]:
        left_s = max(LEAST_S, math.ceil(batch.deadline - self.now()))
        run_s = min(fleet.max_seconds, left_s)
        work = f"s3://{self.config.bucket}/{BatchKeys(batch.id).work}"
        stopping = {"MaxRuntimeInSeconds": run_s}
        if fleet.spot:
            stopping["MaxWaitTimeInSeconds"] = left_s
        vpc = {"Subnets": [*fleet.subnets], "SecurityGroupIds": [*fleet.security_groups]}
        told = BulkJob(
            self.config.bucket,
            batch.id,
            self.config.signing_function,
            self.config.picture_bucket,
        )
        return {
            "TrainingJobName": name,
            "AlgorithmSpecification": {
                "TrainingImage": fleet.image_uri,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": list(COMMAND),
            },
            "RoleArn": fleet.role_arn,
            "InputDataConfig": [
                _channel(MODEL, fleet.model_uri, "FullyReplicated"),
                _channel(WORK, work, "ShardedByS3Key"),
            ],
            # Required; the container writes nothing there.
            "OutputDataConfig": {
                "S3OutputPath": f"s3://{self.config.bucket}/{BatchKeys(batch.id).folder}job",
                "CompressionType": "NONE",
            },
            "ResourceConfig": {
                "InstanceType": fleet.instance_type,
                # An instance that gets no part would fail for want of data.
                "InstanceCount": min(fleet.instance_count, batch.parts),
                "VolumeSizeInGB": fleet.volume_gb,
            },
            "StoppingCondition": stopping,
            "EnableManagedSpotTraining": fleet.spot,
            # The container itself writes to S3.
            "EnableNetworkIsolation": False,
            **({"VpcConfig": vpc} if fleet.subnets else {}),
            "Environment": {**fleet.environment, **told.to_env()},
        }

    def _name(self, batch: Batch, tries: int) -> str:
        """Without a hyphen in either, and without what a job's name can't have."""
        return f"{self.config.job_prefix}{batch.id.rsplit('_', 1)[-1]}-{tries}"

    def _stop(self, name: str) -> None:
        try:
            self.sagemaker.stop_training_job(TrainingJobName=name)
        except ClientError as error:
            # There is none, or it has ended.
            if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
                raise

    def _describe(self, name: str) -> Mapping[str, Any]:
        described: Mapping[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=name)
        return described


def _never_fits(said: str, job: Mapping[str, Any]) -> bool:
    """Whether it is more than the account may have at all, by AWS's sentence: "The account-level
    service limit '…' is 1 Instances, with current utilization of …"."""
    limit = re.search(r"is (\d+) Instances, with", said)
    return limit is not None and int(limit[1]) < job["ResourceConfig"]["InstanceCount"]


def _channel(name: str, uri: str, distribution: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": distribution}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}
