"""One training job as a process of this machine, with /opt/ml laid out as SageMaker does.

The root is not /opt/ml here but what SD_OPT_ML says. Everything in and out goes through the
emulated S3 under the job's role; the process itself gets no credentials.
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html
"""

from __future__ import annotations

import json
import os
import tarfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_cloud import aws
from local_cloud.bridge import LogStream, RoleSession, allowed, enter_account
from local_cloud.codebuild_runner import tool_folder
from local_cloud.container_command import ContainerCommand
from local_cloud.processes import ProcessGroup, clean_environment, thread_environment
from local_cloud.settings import CloudSettings

STOP_GRACE_S = 120.0
CHECKPOINT_INTERVAL_S = 2.0
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
    arn: str
    role: RoleSession
    command: ContainerCommand
    on_status: Callable[[str, str], None]
    """(secondary status, message), as each begins."""
    stop_grace_s: float = STOP_GRACE_S
    _stop: threading.Event = field(default_factory=threading.Event)
    _synced: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.request["TrainingJobName"])

    @property
    def root(self) -> Path:
        return self.settings.jobs / self.name / "ml"

    @property
    def output_uri(self) -> str:
        return f"{self.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"

    @property
    def uncompressed(self) -> bool:
        return bool(self.request["OutputDataConfig"].get("CompressionType") == "NONE")

    def model_uri(self) -> str:
        """ModelArtifacts.S3ModelArtifacts."""
        return f"{self.output_uri}/{'model/' if self.uncompressed else 'model.tar.gz'}"

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> JobOutcome:
        if denied := self._denied_output_key():
            return JobOutcome("Failed", "Failed", denied)
        s3 = aws.client(self.settings, "s3", self.role)
        try:
            self.on_status("Downloading", "Downloading input data")
            self._lay_out(s3)
            outcome = self._train(s3)
            self._sync_checkpoints(s3)
            if outcome.status != "Failed":
                self.on_status("Uploading", "Uploading generated training model")
                self._upload_model(s3)
        except aws.DownloadErrors as error:
            return JobOutcome("Failed", "Failed", f"ClientError: {error}")
        return outcome

    def _denied_output_key(self) -> str:
        """Why the role can't have the output encrypted; botocore says of OutputDataConfig's
        KmsKeyId that it must be allowed kms:Encrypt."""
        key = self.request["OutputDataConfig"].get("KmsKeyId")
        enter_account(self.settings)
        if not key or allowed(self.settings, self.role.access_key, "kms:Encrypt", key):
            return ""
        return (
            f"ClientError: The role {self.role.role_arn} is not authorized to perform: kms:Encrypt "
            f"on resource: {key}"
        )

    def _lay_out(self, s3: Any) -> None:
        for folder in ("input/config", "model", "output/data", "checkpoints"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        config = self.root / "input" / "config"
        hyperparameters = self.request.get("HyperParameters") or {}
        (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
        channels = self.request.get("InputDataConfig") or []
        (config / "inputdataconfig.json").write_text(
            json.dumps({channel["ChannelName"]: channel for channel in channels})
        )
        (config / "resourceconfig.json").write_text(
            json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]})
        )
        for channel in channels:
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            folder = self.root / "input" / "data" / channel["ChannelName"]
            folder.mkdir(parents=True, exist_ok=True)
            if not aws.download_prefix(s3, uri, folder):
                raise OSError(f"No data at {uri} for channel {channel['ChannelName']}")
        if checkpoints := self.request.get("CheckpointConfig"):
            aws.download_prefix(s3, checkpoints["S3Uri"], self._checkpoints())
            self._changed_checkpoints()

    def _train(self, s3: Any) -> JobOutcome:
        self.on_status("Training", "Training image download completed. Training in progress.")
        log = LogStream(
            self.settings,
            "/aws/sagemaker/TrainingJobs",
            f"{self.name}/algo-1-{int(time.time())}",
        )
        group = ProcessGroup(
            self.command.command,
            environment=self._environment(),
            folder=self.command.folder,
            notes=self.settings.groups,
            on_line=lambda line: log.write([line]),
        )
        limit_s = float(self.request["StoppingCondition"]["MaxRuntimeInSeconds"])
        deadline = time.monotonic() + limit_s
        next_sync = time.monotonic() + CHECKPOINT_INTERVAL_S
        try:
            while (code := group.wait(0.1)) is None:
                if self._stop.is_set():
                    group.stop(self.stop_grace_s)
                    return JobOutcome("Stopped", "Stopped")
                if time.monotonic() > deadline:
                    group.stop(self.stop_grace_s)
                    return JobOutcome("Stopped", "MaxRuntimeExceeded")
                if time.monotonic() > next_sync:
                    self._sync_checkpoints(s3)
                    next_sync = time.monotonic() + CHECKPOINT_INTERVAL_S
        finally:
            group.stop()
        if code:
            return JobOutcome("Failed", "Failed", self._failure(code))
        return JobOutcome("Completed", "Completed")

    def _environment(self) -> dict[str, str]:
        home = self.root.parent / "home"
        home.mkdir(exist_ok=True)
        channels = self.request.get("InputDataConfig") or []
        return clean_environment(
            {
                **thread_environment(self.root / "input"),
                **self.command.environment,
                **(self.request.get("Environment") or {}),
                **{
                    f"SM_CHANNEL_{channel['ChannelName'].upper()}": str(
                        self.root / "input" / "data" / channel["ChannelName"]
                    )
                    for channel in channels
                },
                "SD_OPT_ML": str(self.root),
                "SM_MODEL_DIR": str(self.root / "model"),
                "SM_OUTPUT_DATA_DIR": str(self.root / "output" / "data"),
                "SM_HPS": json.dumps(self.request.get("HyperParameters") or {}),
                "TRAINING_JOB_NAME": self.name,
                "TRAINING_JOB_ARN": self.arn,
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

    def _changed_checkpoints(self) -> list[Path]:
        """Files that are new or changed since the last call."""
        changed = []
        for path in sorted(self._checkpoints().rglob("*")):
            if path.is_file():
                facts = path.stat()
                state = (facts.st_mtime_ns, facts.st_size)
                if self._synced.get(str(path)) != state:
                    self._synced[str(path)] = state
                    changed.append(path)
        return changed

    def _sync_checkpoints(self, s3: Any) -> None:
        if not self.request.get("CheckpointConfig"):
            return
        bucket, prefix = aws.split_s3_uri(self.request["CheckpointConfig"]["S3Uri"])
        for path in self._changed_checkpoints():
            key = f"{prefix.rstrip('/')}/{path.relative_to(self._checkpoints()).as_posix()}"
            with path.open("rb") as body:
                s3.put_object(Bucket=bucket, Key=key, Body=body)

    def _upload_model(self, s3: Any) -> None:
        model, data = self.root / "model", self.root / "output" / "data"
        if self.uncompressed:
            aws.upload_folder(s3, model, f"{self.output_uri}/model")
            aws.upload_folder(s3, data, f"{self.output_uri}/data")
            return
        for folder, name in ((model, "model.tar.gz"), (data, "output.tar.gz")):
            if not any(folder.iterdir()):
                continue
            archive = self.root.parent / name
            with tarfile.open(archive, "w:gz") as tar:
                for path in folder.iterdir():
                    tar.add(path, path.name)
            bucket, key = aws.split_s3_uri(f"{self.output_uri}/{name}")
            with archive.open("rb") as body:
                s3.put_object(Bucket=bucket, Key=key, Body=body)
