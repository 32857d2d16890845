"""SageMaker's training jobs: created, described, listed, stopped; each change is an event."""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass, field
from typing import Any

from local_cloud.api_shapes import BadRequest
from local_cloud.docker.store import REFERENCE
from local_cloud.ministack.identity import run_in_account
from local_cloud.ministack.telemetry import put_event
from local_cloud.sagemaker.network import check_network
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
from local_cloud.service_quotas import exceeded, limit
from local_cloud.settings import CloudSettings

CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)
# What ListTrainingJobs gives where MaxResults doesn't say.
LIST_RESULTS = 10
# What managed spot training is billed at, of the time it took; AWS's own example (botocore on
# BillableTimeInSeconds), which is why that times the on-demand price is what a job costs.
SPOT_BILLED = 0.2
# Of a training job's event (docs.aws.amazon.com/sagemaker/latest/dg/
# automating-sagemaker-with-eventbridge.html): no billable seconds, no Environment.
EVENT = ("TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "SecondaryStatus",
         "FailureReason", "HyperParameters", "AlgorithmSpecification", "RoleArn",
         "InputDataConfig", "OutputDataConfig", "ResourceConfig", "VpcConfig",
         "StoppingCondition", "CreationTime", "TrainingStartTime", "TrainingEndTime",
         "LastModifiedTime", "SecondaryStatusTransitions")  # fmt: skip


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
        check_job(request)
        self._refuse_for_quota(request)
        role = sagemaker_role(self._settings, request["RoleArn"])
        check_network(self._settings, request.get("VpcConfig"), role)
        record = {
            **request,
            "TrainingJobArn": arn,
            "CreationTime": time.time(),
        }
        job = self._jobs[name] = JobRecord(record)
        job.enter("InProgress", "Starting", "Preparing the instances for training")
        job.process = TrainingProcess(
            settings=self._settings,
            request=request,
            role=role,
            on_status=lambda secondary, message: self._entered(job, secondary, message),
        )
        run_in_account(self._settings, lambda: self._run(job), f"job-{name}")
        return {"TrainingJobArn": arn}

    def _run(self, job: JobRecord) -> None:
        process = job.process
        assert process is not None
        publish(job)
        outcome = JobOutcome("Failed", "Failed", "InternalServerError: the local cloud's own fault")
        try:
            # A spot job waits for its instances.
            if not process.spot and self._settings.fault("training-capacity") is not None:
                outcome = JobOutcome("Failed", "Failed", CAPACITY)
            else:
                outcome = process.run()
        finally:
            record = job.described
            if outcome.reason:
                record["FailureReason"] = outcome.reason
            else:
                record["ModelArtifacts"] = {"S3ModelArtifacts": process.model_uri}
            if "TrainingStartTime" in record:
                billed = process.trained_s * (SPOT_BILLED if process.spot else 1)
                record.update(
                    TrainingEndTime=time.time(),
                    TrainingTimeInSeconds=math.ceil(process.trained_s),
                    BillableTimeInSeconds=math.ceil(billed),
                )
            message = outcome.reason or f"Training job {outcome.status.lower()}"
            job.enter(outcome.status, outcome.secondary, message)
            job.ended = True
            shutil.rmtree(self._settings.jobs / process.name, ignore_errors=True)
            publish(job)

    def _entered(self, job: JobRecord, secondary: str, message: str) -> None:
        if secondary == "Downloading":
            # Since when there are instances, and they are billed (botocore).
            job.described.setdefault("TrainingStartTime", time.time())
        stopping = "Stopping" in (secondary, job.described["TrainingJobStatus"])
        job.enter("Stopping" if stopping else "InProgress", secondary, message)
        publish(job)

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

    def _refuse_for_quota(self, request: Request) -> None:
        """Where a fault of service_quotas.py says how many instances of a type there may be."""
        kind, wanted = instances(request)
        if (allowed := limit(self._settings, kind)) is None:
            return
        running = [job.described for job in self._jobs.values() if not job.ended]
        used = sum(count for what, count in map(instances, running) if what == kind)
        if used + wanted > allowed:
            raise exceeded(kind, allowed, used, wanted)


def instances(request: Request) -> tuple[str, int]:
    """By what quota a job's instances count, and how many they are."""
    resources = request["ResourceConfig"]
    kind = "spot training" if request.get("EnableManagedSpotTraining") else "training"
    return f"{resources['InstanceType']} for {kind} job usage", resources["InstanceCount"]


def check_job(request: Request) -> None:
    """BadRequest for what SageMaker refuses beyond the shape, and for what can't be had here."""
    algorithm, resources = request["AlgorithmSpecification"], request["ResourceConfig"]
    image, stopping = algorithm.get("TrainingImage", ""), request["StoppingCondition"]
    if REFERENCE.match(image) is None:
        raise invalid(f"Invalid TrainingImage {image}")
    if not algorithm.get("ContainerEntrypoint"):
        raise invalid(f"{image}: only a ContainerEntrypoint can be run here.")
    if not (resources.get("InstanceType") and resources.get("InstanceCount")):
        raise invalid("ResourceConfig: only InstanceType and InstanceCount can be had here.")
    if not stopping.get("MaxRuntimeInSeconds"):
        raise invalid("StoppingCondition: the local cloud wants a MaxRuntimeInSeconds.")
    most = stopping.get("MaxWaitTimeInSeconds")
    if request.get("EnableManagedSpotTraining"):
        if most is None or most < stopping["MaxRuntimeInSeconds"]:
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
                "MaxRuntimeInSeconds"
            )
    elif most is not None:
        raise invalid("MaxWaitTimeInSeconds is for EnableManagedSpotTraining.")
    for channel in request.get("InputDataConfig") or []:
        name, source = channel["ChannelName"], channel["DataSource"].get("S3DataSource") or {}
        if source.get("S3DataType") != "S3Prefix":
            raise invalid(f"Channel {name}: only an S3Prefix can be had here.")
        if channel.get("InputMode", algorithm["TrainingInputMode"]) != "File":
            raise invalid(f"Channel {name}: only the input mode File can be had here.")
    if request["OutputDataConfig"].get("CompressionType") != "NONE":
        raise invalid("OutputDataConfig: only an uncompressed output can be had here.")


def publish(job: JobRecord) -> None:
    """Times are in milliseconds since the epoch."""

    def event_form(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: int(item * 1000) if name.endswith("Time") else event_form(item)
                for name, item in value.items()
            }
        return [event_form(item) for item in value] if isinstance(value, list) else value

    detail = {name: job.described[name] for name in EVENT if name in job.described}
    arn = job.described["TrainingJobArn"]
    put_event(
        "aws.sagemaker",
        "SageMaker Training Job State Change",
        {**event_form(detail), "Tags": {}},
        arn,
    )
