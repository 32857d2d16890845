"""One instance of a training job: a folder laid out as /opt/ml, and the container's process in it.

The root is not /opt/ml here but what SD_OPT_ML says.
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cloud import aws
from local_cloud.docker.command import ContainerCommand
from local_cloud.ministack.identity import RoleSession
from local_cloud.ministack.telemetry import LogStream
from local_cloud.processes import ProcessGroup, clean_environment, thread_environment
from local_cloud.settings import CloudSettings
from local_cloud.tools import tool_folder

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
MAX_FAILURE_CHARS = 1024
# Where a template or request says /opt/ml, this root is meant.
OPT_ML = "/opt/ml"


def host_name(number: int) -> str:
    return f"algo-{number + 1}"


@dataclass(frozen=True)
class TrainingInstance:
    """What is on its disk goes with it: a job that was interrupted gets new ones."""

    settings: CloudSettings
    request: Mapping[str, Any]
    role: RoleSession
    command: ContainerCommand
    number: int
    """Among the job's instances, from 0."""
    attempt: int
    """How often the job was interrupted before."""

    @property
    def root(self) -> Path:
        host = f"{self.attempt}-{host_name(self.number)}"
        return self.settings.jobs / str(self.request["TrainingJobName"]) / host / "ml"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def checkpoints(self) -> Path:
        local = self.request["CheckpointConfig"].get("LocalPath", f"{OPT_ML}/checkpoints")
        return self.root / str(local).removeprefix(OPT_ML).lstrip("/")

    def lay_out(self, s3: Any) -> None:
        """What the container finds. TransferErrors."""
        for folder in ("input/config", "model", "output", "checkpoints"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        count = self.request["ResourceConfig"]["InstanceCount"]
        channels = self.request.get("InputDataConfig") or []
        self._write_config(
            hyperparameters=self.request.get("HyperParameters") or {},
            resourceconfig={
                "current_host": host_name(self.number),
                # By name, says the guide: algo-10 comes before algo-2.
                "hosts": sorted(map(host_name, range(count))),
                "network_interface_name": "eth0",
            },
            inputdataconfig={channel["ChannelName"]: _described(channel) for channel in channels},
        )
        for channel in channels:
            source = channel["DataSource"]["S3DataSource"]
            folder = self.root / "input" / "data" / channel["ChannelName"]
            folder.mkdir(parents=True, exist_ok=True)
            share = (0, 1)
            if source.get("S3DataDistributionType") == "ShardedByS3Key":
                # Nothing says that an instance gets the same share again after an interruption.
                share = ((self.number + self.attempt) % count, count)
            if not aws.download_prefix(s3, source["S3Uri"], folder, share):
                name = channel["ChannelName"]
                raise OSError(f"No data at {source['S3Uri']} for channel {name}")
        if checkpoints := self.request.get("CheckpointConfig"):
            aws.download_prefix(s3, checkpoints["S3Uri"], self.checkpoints)

    def start(self) -> ProcessGroup:
        """The container's process. OSError."""
        name = self.request["TrainingJobName"]
        stream = f"{name}/{host_name(self.number)}-{int(time.time())}"
        return ProcessGroup(
            self.command.command,
            environment=self._environment(),
            folder=self.command.folder,
            notes=self.settings.groups,
            on_line=LogStream(self.settings, LOG_GROUP, stream, self.role).write,
        )

    def failure(self, code: int) -> str:
        """FailureReason, for the exit status of the process."""
        try:
            said = (self.root / "output" / "failure").read_text(errors="replace")
        except OSError:
            said = ""
        # A container's status for a process that a signal ended.
        status = code if code >= 0 else 128 - code
        return f"AlgorithmError: {said[:MAX_FAILURE_CHARS]}, exit code: {status}"

    def remove(self) -> None:
        shutil.rmtree(self.root.parent, ignore_errors=True)

    def _write_config(self, **documents: Any) -> None:
        for name, document in documents.items():
            path = self.root / "input" / "config" / f"{name}.json"
            path.write_text(json.dumps(document))

    def _environment(self) -> dict[str, str]:
        home = self.root.parent / "home"
        home.mkdir(exist_ok=True)
        region, name = self.settings.region, self.request["TrainingJobName"]
        # On AWS the SDK asks for the role's credentials at an address of the container's network,
        # which an isolated one doesn't have.
        isolated = self.request.get("EnableNetworkIsolation")
        reach = {} if isolated else {
            **self.role.environment(), "AWS_ENDPOINT_URL": self.settings.url
        }  # fmt: skip
        return clean_environment(
            {
                **thread_environment(self.root / "input"),
                **self.command.environment,
                **(self.request.get("Environment") or {}),
                "TRAINING_JOB_NAME": name,
                "TRAINING_JOB_ARN": self.settings.arn("sagemaker", f"training-job/{name.lower()}"),
                "SD_OPT_ML": str(self.root),
                "AWS_REGION": region,
                "AWS_DEFAULT_REGION": region,
                "HOME": str(home),
                "TMPDIR": str(home),
                # A shell in the entry point finds this machine's Python as `python3`.
                "PATH": f"{tool_folder(self.settings)}:{os.environ.get('PATH', '')}",
                **reach,
            }
        )


def _described(channel: Mapping[str, Any]) -> dict[str, str]:
    """A channel, as inputdataconfig.json has it."""
    source = channel["DataSource"]["S3DataSource"]
    said = {
        "ContentType": channel.get("ContentType"),
        "TrainingInputMode": "File",
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    return {name: value for name, value in said.items() if value is not None}
