"""SageMaker's training jobs: created, described, listed, stopped."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_cloud.api_shapes import BadRequest
from local_cloud.bridge import run_in_account
from local_cloud.container_command import (
    PYTHON_NAMES,
    ContainerCommand,
    NotRunnable,
    choose_command,
)
from local_cloud.image_store import REFERENCE, ImageStore
from local_cloud.model_images import find_image, sagemaker_role
from local_cloud.sagemaker_resources import Answer, Operations, Request, known_members
from local_cloud.settings import CloudSettings
from local_cloud.training_process import JobOutcome, TrainingProcess

CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)
# What ListTrainingJobs gives where MaxResults doesn't say.
LIST_RESULTS = 10


@dataclass
class Job:
    record: dict[str, Any]
    process: TrainingProcess | None = None
    ended: bool = False
    transitions: list[dict[str, Any]] = field(default_factory=list)

    def enter(self, status: str, secondary: str, message: str) -> None:
        """Begin a secondary status, which ends the one before."""
        now = time.time()
        if self.transitions:
            self.transitions[-1]["EndTime"] = now
        self.transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
        self.record.update(
            TrainingJobStatus=status,
            SecondaryStatus=secondary,
            SecondaryStatusTransitions=self.transitions,
            LastModifiedTime=now,
        )


class TrainingJobs:
    """The operations by name. `arn` makes an ARN from kind and name."""

    def __init__(self, settings: CloudSettings, arn: Callable[[str, str], str]) -> None:
        self._settings, self._arn = settings, arn
        self._store = ImageStore(settings.images)
        self.jobs: dict[str, Job] = {}
        self.operations: Operations = {
            "CreateTrainingJob": self._create,
            "DescribeTrainingJob": self._describe,
            "ListTrainingJobs": self._list,
            "StopTrainingJob": self._stop,
        }

    def stop(self) -> None:
        """End every job's process."""
        for job in self.jobs.values():
            if job.process:
                job.process.stop_grace_s = 2.0
                job.process.stop()

    def _create(self, request: Request) -> Answer:
        name = request["TrainingJobName"]
        arn = self._arn("training-job", name)
        if name in self.jobs:
            raise BadRequest(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a "
                f"training job with this name already exists ({arn})",
            )
        self._refuse_for_quota(request)
        role = sagemaker_role(self._settings, request["RoleArn"], "SageMaker")
        for channel in request.get("InputDataConfig") or []:
            source = channel["DataSource"].get("S3DataSource") or {}
            if source.get("S3DataType") != "S3Prefix":
                raise BadRequest(
                    "ValidationException",
                    f"Channel {channel['ChannelName']}: only an S3Prefix can be had here.",
                )
        specification = request["AlgorithmSpecification"]
        command = self._command(specification, role)
        record = {
            **request,
            "TrainingJobArn": arn,
            "CreationTime": time.time(),
        }
        job = self.jobs[name] = Job(record)
        job.enter("InProgress", "Starting", "Preparing the instances for training")
        if self._fault("training-capacity"):
            job.record["FailureReason"] = CAPACITY
            job.enter("Failed", "Failed", CAPACITY)
            job.ended = True
            return {"TrainingJobArn": arn}
        job.process = TrainingProcess(
            settings=self._settings,
            request=request,
            arn=arn,
            role=role,
            command=command,
            on_status=lambda secondary, message: self._entered(job, secondary, message),
        )
        run_in_account(self._settings, lambda: self._run(job), f"job-{name}")
        return {"TrainingJobArn": arn}

    def _run(self, job: Job) -> None:
        assert job.process is not None
        outcome = JobOutcome("Failed", "Failed", "InternalServerError: the local cloud's own fault")
        try:
            outcome = job.process.run()
        finally:
            record = job.record
            if outcome.reason:
                record["FailureReason"] = outcome.reason
            else:
                record["ModelArtifacts"] = {"S3ModelArtifacts": job.process.model_uri()}
            record["TrainingEndTime"] = time.time()
            record["TrainingTimeInSeconds"] = int(
                record["TrainingEndTime"] - record.get("TrainingStartTime", record["CreationTime"])
            )
            message = outcome.reason or f"Training job {outcome.status.lower()}"
            job.enter(outcome.status, outcome.secondary, message)
            job.ended = True
            shutil.rmtree(self._settings.jobs / job.process.name, ignore_errors=True)

    def _entered(self, job: Job, secondary: str, message: str) -> None:
        if secondary == "Training":
            job.record["TrainingStartTime"] = time.time()
        status = "Stopping" if job.record["TrainingJobStatus"] == "Stopping" else "InProgress"
        job.enter(status, secondary, message)

    def _describe(self, request: Request) -> Answer:
        record = self._job(request["TrainingJobName"]).record
        return known_members("DescribeTrainingJob", record)

    def _list(self, request: Request) -> Answer:
        keys = ("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime",
                "LastModifiedTime", "TrainingJobStatus")  # fmt: skip
        wanted = request.get("NameContains", "")
        found = [
            {key: job.record[key] for key in keys if key in job.record}
            for name, job in self.jobs.items()
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
            raise BadRequest(
                "ValidationException",
                "The request was rejected because the training job is in status "
                f"{job.record['TrainingJobStatus']}.",
            )
        job.record["TrainingJobStatus"] = "Stopping"
        job.process.stop()
        return {}

    def _job(self, name: str) -> Job:
        if name not in self.jobs:
            # SageMaker's own words for a job that isn't there.
            raise BadRequest("ValidationException", "Requested resource not found.")
        return self.jobs[name]

    def _command(self, specification: Request, role: Any) -> ContainerCommand:
        image = specification.get("TrainingImage", "")
        match = REFERENCE.match(image)
        if match is None:
            raise BadRequest("ValidationException", f"Invalid TrainingImage {image}")
        entrypoint = specification.get("ContainerEntrypoint") or []
        arguments = specification.get("ContainerArguments") or []
        if match["registry"].split(".")[0] == self._settings.account:
            try:
                return choose_command(
                    self._store,
                    find_image(self._settings, image, role),
                    entrypoint=entrypoint,
                    arguments=arguments,
                )
            except (NotRunnable, KeyError) as error:
                raise BadRequest("ValidationException", f"{image} can't be run: {error}") from error
        if not entrypoint:
            raise BadRequest(
                "ValidationException",
                f"{image} is not an image of this account: only a ContainerEntrypoint can be run.",
            )
        first = entrypoint[0]
        first = sys.executable if Path(first).name in PYTHON_NAMES else first
        folder = self._settings.temporary
        return ContainerCommand((first, *entrypoint[1:], *arguments), {}, folder)

    def _refuse_for_quota(self, request: Request) -> None:
        if self._fault("training-quota"):
            kind = request["ResourceConfig"].get("InstanceType", "")
            raise BadRequest(
                "ResourceLimitExceeded",
                f"The account-level service limit '{kind} for training job usage' is 0 Instances, "
                "with current utilization of 0 Instances and a request delta of 1 Instances. "
                "Please use AWS Service Quotas to request an increase for this quota.",
            )

    def _fault(self, name: str) -> bool:
        """Tests make AWS's own failures happen by a file of this name in `<state>/faults/`."""
        return (self._settings.state / "faults" / name).exists()
