"""Runs one build as a process of this machine, under the project's role.

A failing command ends the build; a stop or a timeout kills the whole process group at once, with no
signal to clear up by (aws/aws-lc#1233: not even a shell's trap runs). Nothing of the build's image
is here but `python3` and `docker`, which come first on its PATH.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from botocore.exceptions import ClientError

from local_cloud import aws
from local_cloud.codebuild.buildspec import BuildspecError, build_commands, script
from local_cloud.ministack.identity import RoleSession
from local_cloud.processes import ProcessGroup, clean_environment, network_environment
from local_cloud.settings import CloudSettings
from local_cloud.tools import tool_folder


@dataclass(frozen=True)
class BuildPlan:
    """What a build is started with, overrides applied."""

    build_id: str
    source: str
    """bucket/key of a zip file."""
    buildspec: str
    environment: Mapping[str, str]
    timeout_s: float
    role: RoleSession


class BuildRun:
    """One run. `stop` may come from any thread."""

    def __init__(
        self,
        settings: CloudSettings,
        plan: BuildPlan,
        log: Callable[[str], None],
        on_phase: Callable[[str, str, str], None],
    ) -> None:
        """`on_phase(name, status, context)` is told of each phase's start and end."""
        self._settings, self._plan = settings, plan
        self._log, self._on_phase = log, on_phase
        self._folder = settings.builds / plan.build_id.replace(":", "_")
        self._source = self._folder / "src"
        self._note = self._folder / "command"
        self._stopped = threading.Event()
        self._deadline = time.monotonic() + plan.timeout_s
        self._group: ProcessGroup | None = None
        self._lock = threading.Lock()

    def stop(self) -> None:
        """End the build's processes; `run` then answers STOPPED."""
        self._stopped.set()
        with self._lock:
            if self._group:
                self._group.kill()

    def run(self) -> str:
        """Do it all; blocks until the build ended. The build's status."""
        try:
            self._source.mkdir(parents=True)
            commands = self._prepare()
            return self._build(commands) if commands else self._ended() or "FAILED"
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _prepare(self) -> Sequence[str]:
        """The build's commands; none where it can't begin."""
        self._on_phase("DOWNLOAD_SOURCE", "IN_PROGRESS", "")
        try:
            self._fetch_source()
            commands = build_commands(self._plan.buildspec)
        except ClientError as error:
            self._on_phase("DOWNLOAD_SOURCE", "FAILED", f"CLIENT_ERROR: {error}")
        except (OSError, zipfile.BadZipFile, BuildspecError) as error:
            self._on_phase("DOWNLOAD_SOURCE", "FAILED", str(error))
        else:
            self._on_phase("DOWNLOAD_SOURCE", "SUCCEEDED", "")
            return commands
        return ()

    def _fetch_source(self) -> None:
        bucket, _, key = self._plan.source.partition("/")
        archive = self._folder / "source.zip"
        s3 = aws.client(self._settings, "s3", self._plan.role)
        aws.download_object(s3, bucket, key, archive)
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(self._source)
        archive.unlink()

    def _build(self, commands: Sequence[str]) -> str:
        self._on_phase("BUILD", "IN_PROGRESS", "")
        context = self._run_commands(commands)
        status = self._ended() or ("FAILED" if context else "SUCCEEDED")
        self._on_phase("BUILD", status, context)
        return status

    def _run_commands(self, commands: Sequence[str]) -> str:
        """CodeBuild's message for a command that failed, empty where none has."""
        with self._lock:
            if self._stopped.is_set():
                return ""
            self._group = ProcessGroup(
                ["bash", "--noprofile", "--norc", "-c", script(commands, self._note)],
                environment=self._environment(),
                folder=self._source,
                notes=self._settings.groups,
                on_line=self._log,
            )
        code = self._group.wait(max(self._deadline - time.monotonic(), 0.0))
        # Also what it has left in the background: its shell is gone.
        self._group.kill()
        if not code or self._ended():
            return ""
        said = f"Error while executing command: {self._note.read_text()}"
        return f"{said}. Reason: exit status {code}"

    def _ended(self) -> str:
        if self._stopped.is_set():
            return "STOPPED"
        return "TIMED_OUT" if time.monotonic() >= self._deadline else ""

    def _environment(self) -> dict[str, str]:
        home = self._folder / "home"
        home.mkdir(exist_ok=True)
        plan = self._plan
        return clean_environment(
            {
                **network_environment(),
                **plan.environment,
                **plan.role.environment(),
                "AWS_ENDPOINT_URL": self._settings.url,
                "AWS_REGION": self._settings.region,
                "AWS_DEFAULT_REGION": self._settings.region,
                "CODEBUILD_BUILD_ID": plan.build_id,
                "HOME": str(home),
                "TMPDIR": str(home),
                "PATH": f"{tool_folder(self._settings)}:{os.environ.get('PATH', '')}",
            }
        )
