"""SageMaker's training jobs: created, described, listed, stopped."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from local_cloud.api_shapes import BadRequest
from local_cloud.docker.command import ContainerCommand
from local_cloud.docker.store import REFERENCE
from local_cloud.ministack.identity import run_in_account
from local_cloud.sagemaker.resources import (
    Answer,
    Operations,
    Request,
    invalid,
    known_members,
    make_arn,
    sagemaker_role,
)
from local_cloud.sagemaker.training_process import JobOutcome, TrainingProcess
from local_cloud.settings import CloudSettings

CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)
# What ListTrainingJobs gives where MaxResults doesn't say.
LIST_RESULTS = 10


@dataclass
class JobRecord:
    described: dict[str, Any]
    process: TrainingProcess | None = None
    ended: bool = False
    transitions: list[dict[str, Any]] = field(default_factory=list)

    def enter(self, status: str, secondary: str, message: str) -> None:
        """Begin a secondary status, which ends the one before."""
        now = time.time()
        if self.transitions:
            self.transitions[-1]["EndTime"] = now
        self.transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
        self.described.update(
            TrainingJobStatus=status,
            SecondaryStatus=secondary,
            SecondaryStatusTransitions=self.transitions,
            LastModifiedTime=now,
        )


class TrainingJobs:
    """The operations by name."""

    def __init__(self, settings: CloudSettings) -> None:
        self._settings = settings
        self._jobs: dict[str, JobRecord] = {}
        self.operations: Operations = {
            "CreateTrainingJob": self._create,
            "DescribeTrainingJob": self._describe,
            "ListTrainingJobs": self._list,
            "StopTrainingJob": self._stop,
        }

    def stop(self) -> None:
        """End every job's process."""
        for job in self._jobs.values():
            if job.process:
                job.process.stop_grace_s = 2.0
                job.process.stop()

    def _create(self, request: Request) -> Answer:
        name = request["TrainingJobName"]
        arn = make_arn(self._settings, "training-job", name)
        if name in self._jobs:
            raise BadRequest(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a "
                f"training job with this name already exists ({arn})",
            )
        self._refuse_for_quota(request)
        role = sagemaker_role(self._settings, request["RoleArn"])
        for channel in request.get("InputDataConfig") or []:
            source = channel["DataSource"].get("S3DataSource") or {}
            if source.get("S3DataType") != "S3Prefix":
                raise invalid(
                    f"Channel {channel['ChannelName']}: only an S3Prefix can be had here."
                )
        if request["OutputDataConfig"].get("CompressionType") != "NONE":
            raise invalid("OutputDataConfig: only an uncompressed output can be had here.")
        command = self._command(request["AlgorithmSpecification"])
        record = {
            **request,
            "TrainingJobArn": arn,
            "CreationTime": time.time(),
        }
        job = self._jobs[name] = JobRecord(record)
        job.enter("InProgress", "Starting", "Preparing the instances for training")
        if self._settings.fault("training-capacity") is not None:
            job.described["FailureReason"] = CAPACITY
            job.enter("Failed", "Failed", CAPACITY)
            job.ended = True
            return {"TrainingJobArn": arn}
        job.process = TrainingProcess(
            settings=self._settings,
            request=request,
            role=role,
            command=command,
            on_status=lambda secondary, message: self._entered(job, secondary, message),
        )
        run_in_account(self._settings, lambda: self._run(job), f"job-{name}")
        return {"TrainingJobArn": arn}

    def _run(self, job: JobRecord) -> None:
        assert job.process is not None
        outcome = JobOutcome("Failed", "Failed", "InternalServerError: the local cloud's own fault")
        try:
            # For an instance, which on AWS can take any time.
            while self._settings.fault("training-waits") is not None:
                if job.process.stopped_within(0.1):
                    break
            outcome = job.process.run()
        finally:
            record = job.described
            if outcome.reason:
                record["FailureReason"] = outcome.reason
            else:
                record["ModelArtifacts"] = {"S3ModelArtifacts": job.process.model_uri}
            record["TrainingEndTime"] = time.time()
            message = outcome.reason or f"Training job {outcome.status.lower()}"
            job.enter(outcome.status, outcome.secondary, message)
            job.ended = True
            shutil.rmtree(self._settings.jobs / job.process.name, ignore_errors=True)

    def _entered(self, job: JobRecord, secondary: str, message: str) -> None:
        if secondary == "Training":
            job.described["TrainingStartTime"] = time.time()
        status = "Stopping" if job.described["TrainingJobStatus"] == "Stopping" else "InProgress"
        job.enter(status, secondary, message)

    def _describe(self, request: Request) -> Answer:
        record = self._job(request["TrainingJobName"]).described
        return known_members("DescribeTrainingJob", record)

    def _list(self, request: Request) -> Answer:
        keys = ("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime",
                "LastModifiedTime", "TrainingJobStatus")  # fmt: skip
        wanted = request.get("NameContains", "")
        found = [
            {key: job.described[key] for key in keys if key in job.described}
            for name, job in self._jobs.items()
            if wanted in name
        ]
        descending = request.get("SortOrder") == "Descending"
        found.sort(key=lambda item: float(item["CreationTime"]), reverse=descending)
        begin = int(request.get("NextToken", 0))
        end = begin + request.get("MaxResults", LIST_RESULTS)
        # SageMaker takes a page first and drops from it what has another status afterwards, says
        # botocore of ListTrainingJobs: a page can be empty though a later one isn't.
        status = request.get("StatusEquals")
        page = [job for job in found[begin:end] if status in (None, job["TrainingJobStatus"])]
        more = {"NextToken": str(end)} if end < len(found) else {}
        return {"TrainingJobSummaries": page, **more}

    def _stop(self, request: Request) -> Answer:
        job = self._job(request["TrainingJobName"])
        if job.ended or job.process is None:
            raise invalid(
                "The request was rejected because the training job is in status "
                f"{job.described['TrainingJobStatus']}."
            )
        job.described["TrainingJobStatus"] = "Stopping"
        job.process.stop()
        return {}

    def _job(self, name: str) -> JobRecord:
        if name not in self._jobs:
            # SageMaker's own words for a job that isn't there.
            raise invalid("Requested resource not found.")
        return self._jobs[name]

    def _command(self, specification: Request) -> ContainerCommand:
        image: str = specification.get("TrainingImage", "")
        entrypoint: Sequence[str] = specification.get("ContainerEntrypoint") or ()
        if REFERENCE.match(image) is None:
            raise invalid(f"Invalid TrainingImage {image}")
        if not entrypoint:
            raise invalid(f"{image}: only a ContainerEntrypoint can be run here.")
        words = (*entrypoint, *(specification.get("ContainerArguments") or ()))
        return ContainerCommand(words, {}, self._settings.temporary)

    def _refuse_for_quota(self, request: Request) -> None:
        if self._settings.fault("training-quota") is not None:
            kind = request["ResourceConfig"].get("InstanceType", "")
            raise BadRequest(
                "ResourceLimitExceeded",
                f"The account-level service limit '{kind} for training job usage' is 0 Instances, "
                "with current utilization of 0 Instances and a request delta of 1 Instances. "
                "Please use AWS Service Quotas to request an increase for this quota.",
            )
