"""One training job as processes of this machine, one an instance, from its start to its end.

Everything in and out goes through the emulated S3 under the job's role. With managed spot training
the instances can be taken away; then the whole job is interrupted, and starts again on new ones.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-managed-spot-training-status.html
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_cloud import aws
from local_cloud.api_shapes import BadRequest
from local_cloud.docker.command import ContainerCommand, choose_command
from local_cloud.docker.store import REFERENCE, ImageStore
from local_cloud.ministack.identity import RoleSession, allowed
from local_cloud.ministack.networks import leads_to_s3
from local_cloud.processes import ProcessGroup
from local_cloud.sagemaker.definition import find_image
from local_cloud.sagemaker.network import DATA_UNREACHABLE
from local_cloud.sagemaker.training_instance import TrainingInstance
from local_cloud.settings import CloudSettings

STOP_GRACE_S = 120.0
POLL_S = 0.1


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
    on_status: Callable[[str, str], None]
    """(secondary status, message), as each begins."""
    stop_grace_s: float = STOP_GRACE_S
    trained_s: float = 0.0
    """How long there were instances, downloads and uploads included."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _created: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str:
        return str(self.request["TrainingJobName"])

    @property
    def spot(self) -> bool:
        return bool(self.request.get("EnableManagedSpotTraining"))

    @property
    def model_uri(self) -> str:
        """ModelArtifacts.S3ModelArtifacts."""
        output = self.request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        return f"{output}/{self.name}/output/model/"

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> JobOutcome:
        for attempt in itertools.count():
            if ended := self._wait_for_instances():
                return ended
            if denied := self._denied_output_key():
                return JobOutcome("Failed", "Failed", denied)
            if outcome := self._attempt(attempt):
                return outcome
            self.on_status("Interrupted", "The spot instances were interrupted")
            self.on_status("Starting", "Preparing the instances for training")
        raise AssertionError

    def _wait_for_instances(self) -> JobOutcome | None:
        """What ends the job before there are any, which on AWS can take any time."""
        while True:
            if secondary := self._ending():
                return self._stopped(secondary)
            if self.settings.fault("training-waits") is None and not self._reclaimed():
                return None
            self._stop.wait(POLL_S)

    def _ending(self) -> str | None:
        """The secondary status of a job that is to end now, whatever it is doing."""
        if self._stop.is_set():
            return "Stopped"
        # Waiting and running together, however often.
        limit = self.request["StoppingCondition"].get("MaxWaitTimeInSeconds")
        waited = time.monotonic() - self._created
        return "MaxWaitTimeExceeded" if limit is not None and waited > limit else None

    def _reclaimed(self) -> bool:
        """Whether AWS has no spot instances for this job, or takes them back."""
        names = self.settings.fault("no-spot-capacity")
        return self.spot and names is not None and names in self.name

    def _stopped(self, secondary: str, groups: Sequence[ProcessGroup] = ()) -> JobOutcome:
        self.on_status("Stopping", "Stopping the training job")
        if groups:
            with ThreadPoolExecutor(len(groups)) as pool:
                list(pool.map(lambda group: group.stop(self.stop_grace_s), groups))
        return JobOutcome("Stopped", secondary)

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

    def _attempt(self, attempt: int) -> JobOutcome | None:
        """None where the instances were taken away."""
        s3, began = aws.client(self.settings, "s3", self.role), time.monotonic()
        instances: list[TrainingInstance] = []
        try:
            command = self._command()
            self.on_status("Downloading", "Downloading input data")
            if (vpc := self.request.get("VpcConfig")) and not leads_to_s3(vpc):
                return JobOutcome("Failed", "Failed", DATA_UNREACHABLE)
            for number in range(self.request["ResourceConfig"]["InstanceCount"]):
                instance = TrainingInstance(
                    self.settings, self.request, self.role, command, number, attempt
                )
                instances.append(instance)
                instance.lay_out(s3)
            outcome = self._train(instances)
            if checkpoints := self.request.get("CheckpointConfig"):
                for instance in instances:
                    _upload(s3, instance.checkpoints, checkpoints["S3Uri"])
            if outcome and outcome.status != "Failed":
                self.on_status("Uploading", "Uploading generated training model")
                for instance in instances:
                    _upload(s3, instance.model, self.model_uri)
            return outcome
        except aws.TransferErrors as error:
            return JobOutcome("Failed", "Failed", f"ClientError: {error}")
        except BadRequest as error:
            # AWS's sentence; the rest is ours.
            said = "Either the image does not exist or its permissions are incorrect."
            reason = f"ClientError: Cannot pull algorithm container. {said} {error}"
            return JobOutcome("Failed", "Failed", reason)
        finally:
            self.trained_s += time.monotonic() - began
            for instance in instances:
                instance.remove()

    def _command(self) -> ContainerCommand:
        """The entry point in the image, which is the account's or one of AWS's own, of which there
        is nothing here. BadRequest."""
        algorithm = self.request["AlgorithmSpecification"]
        image = algorithm["TrainingImage"]
        words = (*algorithm["ContainerEntrypoint"], *algorithm.get("ContainerArguments", ()))
        match = REFERENCE.match(image)
        assert match is not None
        if match["registry"].split(".")[0] != self.settings.account:
            return ContainerCommand(words, {}, self.settings.temporary)
        digest = find_image(self.settings, image, self.role)
        return choose_command(ImageStore(self.settings.images), digest, words)

    def _train(self, instances: Sequence[TrainingInstance]) -> JobOutcome | None:
        """None where the instances were taken away, which a container isn't told."""
        self.on_status("Training", "Training image download completed. Training in progress.")
        limit_s = float(self.request["StoppingCondition"]["MaxRuntimeInSeconds"])
        deadline = time.monotonic() + limit_s - self.trained_s
        groups: list[ProcessGroup] = []
        try:
            groups.extend(instance.start() for instance in instances)
            while not (failed := [n for n, group in enumerate(groups) if group.exit_code]):
                if all(group.exit_code == 0 for group in groups):
                    return JobOutcome("Completed", "Completed")
                if self._reclaimed():
                    return None
                if secondary := self._ending():
                    return self._stopped(secondary, groups)
                if time.monotonic() > deadline:
                    return self._stopped("MaxRuntimeExceeded", groups)
                self._stop.wait(POLL_S)
            # One that fails ends the job for all.
            reason = instances[failed[0]].failure(groups[failed[0]].exit_code or 0)
            return JobOutcome("Failed", "Failed", reason)
        finally:
            for group in groups:
                group.kill()


def _upload(s3: Any, folder: Path, uri: str) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    aws.upload_files(s3, folder, files, uri)
