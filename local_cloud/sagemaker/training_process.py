"""One training job as a process of this machine, with /opt/ml laid out as SageMaker does.

The root is not /opt/ml here but what SD_OPT_ML says. Everything in and out goes through the
emulated S3 under the job's role; the process itself gets no credentials.
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_cloud import aws
from local_cloud.docker.command import ContainerCommand
from local_cloud.ministack.identity import RoleSession, allowed
from local_cloud.ministack.telemetry import LogStream
from local_cloud.processes import ProcessGroup, clean_environment, thread_environment
from local_cloud.settings import CloudSettings
from local_cloud.tools import tool_folder

STOP_GRACE_S = 120.0
MAX_FAILURE_CHARS = 1024
# Where a template or request says /opt/ml, this root is meant.
OPT_ML = "/opt/ml"


@dataclass(frozen=True)
class JobOutcome:
    status: str
    """Completed, Failed or Stopped."""
    secondary: str
    reason: str = ""


@dataclass
class TrainingProcess:
    """`run` blocks until the job ended; `stop` may come from any thread."""

    settings: CloudSettings
    request: Mapping[str, Any]
    role: RoleSession
    command: ContainerCommand
    on_status: Callable[[str, str], None]
    """(secondary status, message), as each begins."""
    stop_grace_s: float = STOP_GRACE_S
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        return str(self.request["TrainingJobName"])

    @property
    def root(self) -> Path:
        return self.settings.jobs / self.name / "ml"

    @property
    def model_uri(self) -> str:
        """ModelArtifacts.S3ModelArtifacts."""
        output = self.request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        return f"{output}/{self.name}/output/model/"

    def stop(self) -> None:
        self._stop.set()

    def stopped_within(self, seconds: float) -> bool:
        return self._stop.wait(seconds)

    def run(self) -> JobOutcome:
        if self._stop.is_set():
            return JobOutcome("Stopped", "Stopped")
        if denied := self._denied_output_key():
            return JobOutcome("Failed", "Failed", denied)
        s3, model = aws.client(self.settings, "s3", self.role), self.root / "model"
        try:
            self.on_status("Downloading", "Downloading input data")
            self._lay_out(s3)
            outcome = self._train()
            if checkpoints := self.request.get("CheckpointConfig"):
                folder = self._checkpoints()
                aws.upload_files(s3, folder, _files_below(folder), checkpoints["S3Uri"])
            if outcome.status != "Failed":
                self.on_status("Uploading", "Uploading generated training model")
                aws.upload_files(s3, model, _files_below(model), self.model_uri)
        except aws.TransferErrors as error:
            return JobOutcome("Failed", "Failed", f"ClientError: {error}")
        return outcome

    def _denied_output_key(self) -> str:
        """Why the role can't have the output encrypted; botocore says of OutputDataConfig's
        KmsKeyId that it must be allowed kms:Encrypt."""
        key = self.request["OutputDataConfig"].get("KmsKeyId")
        if not key or allowed(self.settings, self.role.access_key, "kms:Encrypt", key):
            return ""
        return (
            f"ClientError: The role {self.role.role_arn} is not authorized to perform: kms:Encrypt "
            f"on resource: {key}"
        )

    def _lay_out(self, s3: Any) -> None:
        for folder in ("input/config", "model", "output", "checkpoints"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        hyperparameters = self.request.get("HyperParameters") or {}
        config = self.root / "input" / "config" / "hyperparameters.json"
        config.write_text(json.dumps(hyperparameters))
        for channel in self.request.get("InputDataConfig") or []:
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            folder = self.root / "input" / "data" / channel["ChannelName"]
            folder.mkdir(parents=True, exist_ok=True)
            if not aws.download_prefix(s3, uri, folder):
                raise OSError(f"No data at {uri} for channel {channel['ChannelName']}")
        if checkpoints := self.request.get("CheckpointConfig"):
            aws.download_prefix(s3, checkpoints["S3Uri"], self._checkpoints())

    def _train(self) -> JobOutcome:
        self.on_status("Training", "Training image download completed. Training in progress.")
        log = LogStream(
            self.settings,
            "/aws/sagemaker/TrainingJobs",
            f"{self.name}/algo-1-{int(time.time())}",
            self.role,
        )
        group = ProcessGroup(
            self.command.command,
            environment=self._environment(),
            folder=self.command.folder,
            notes=self.settings.groups,
            on_line=log.write,
        )
        limit_s = float(self.request["StoppingCondition"]["MaxRuntimeInSeconds"])
        deadline = time.monotonic() + limit_s
        try:
            while (code := group.wait(0.1)) is None:
                if self._stop.is_set():
                    group.stop(self.stop_grace_s)
                    return JobOutcome("Stopped", "Stopped")
                if time.monotonic() > deadline:
                    group.stop(self.stop_grace_s)
                    return JobOutcome("Stopped", "MaxRuntimeExceeded")
        finally:
            group.stop()
        if code:
            return JobOutcome("Failed", "Failed", self._failure(code))
        return JobOutcome("Completed", "Completed")

    def _environment(self) -> dict[str, str]:
        home = self.root.parent / "home"
        home.mkdir(exist_ok=True)
        return clean_environment(
            {
                **thread_environment(self.root / "input"),
                **self.command.environment,
                **(self.request.get("Environment") or {}),
                "SD_OPT_ML": str(self.root),
                "AWS_REGION": self.settings.region,
                "AWS_DEFAULT_REGION": self.settings.region,
                "HOME": str(home),
                "TMPDIR": str(home),
                # A shell in the entry point finds this machine's Python as `python3`.
                "PATH": f"{tool_folder(self.settings)}:{os.environ.get('PATH', '')}",
            }
        )

    def _failure(self, code: int) -> str:
        try:
            said = (self.root / "output" / "failure").read_text(errors="replace")
        except OSError:
            said = ""
        # A container's status for a process that a signal ended.
        status = code if code >= 0 else 128 - code
        return f"AlgorithmError: {said[:MAX_FAILURE_CHARS]}, exit code: {status}"

    def _checkpoints(self) -> Path:
        local = self.request["CheckpointConfig"].get("LocalPath", f"{OPT_ML}/checkpoints")
        return self.root / str(local).removeprefix(OPT_ML).lstrip("/")


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
