"""Runs one build as processes of this machine, under the project's role.

Rules kept: a failing command ends its phase; a failure in install or pre_build skips to the end,
one in build still runs post_build; CODEBUILD_BUILD_SUCCEEDING tells post_build which; a stop or a
timeout kills the whole process group at once, with no signal to clear up by (aws/aws-lc#1233: not
even a shell's trap runs). Nothing of the build's image is here but `python3` and
`docker`, which come first on its PATH.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import ClientError

from local_cloud import aws
from local_cloud.bridge import RoleSession
from local_cloud.buildspec import PHASES, Buildspec, BuildspecError, parse_buildspec
from local_cloud.codebuild_phase import PhaseFiles, PhaseResult
from local_cloud.processes import ProcessGroup, clean_environment, network_environment
from local_cloud.settings import REPOSITORY, CloudSettings


@dataclass(frozen=True)
class BuildPlan:
    """What a build is started with, overrides applied."""

    build_id: str
    arn: str
    number: int
    source_type: str
    source_location: str
    buildspec: str
    environment: Mapping[str, str]
    timeout_s: float
    role: RoleSession
    log_stream: str
    encryption_key: str
    initiator: str


@dataclass
class BuildOutcome:
    status: str
    exported: dict[str, str] = field(default_factory=dict)


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
        self._files = PhaseFiles(self._folder)
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

    def run(self) -> BuildOutcome:
        """Do it all; blocks until the build ended."""
        try:
            self._source.mkdir(parents=True)
            spec = self._prepare()
            if spec is None:
                return BuildOutcome(self._ended() or "FAILED")
            return self._run_phases(spec)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _prepare(self) -> Buildspec | None:
        self._on_phase("DOWNLOAD_SOURCE", "IN_PROGRESS", "")
        try:
            self._fetch_source()
            spec = self._read_buildspec()
        except ClientError as error:
            self._on_phase("DOWNLOAD_SOURCE", "FAILED", f"CLIENT_ERROR: {error}")
        except (OSError, zipfile.BadZipFile, BuildspecError) as error:
            self._on_phase("DOWNLOAD_SOURCE", "FAILED", str(error))
        else:
            self._on_phase("DOWNLOAD_SOURCE", "SUCCEEDED", "")
            return spec
        return None

    def _fetch_source(self) -> None:
        if self._plan.source_type == "NO_SOURCE":
            return
        if self._plan.source_type != "S3":
            raise BuildspecError(f"A source of type {self._plan.source_type} can't be had here")
        bucket, _, key = self._plan.source_location.partition("/")
        archive = self._folder / "source.zip"
        s3 = aws.client(self._settings, "s3", self._plan.role)
        aws.download_object(s3, bucket, key, archive)
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(self._source)
        archive.unlink()

    def _read_buildspec(self) -> Buildspec:
        text = self._plan.buildspec
        if "\n" not in text and not text.lstrip().startswith("{"):
            path = self._source / (text or "buildspec.yml")
            if not path.is_file():
                raise BuildspecError(f"YAML_FILE_ERROR: {path.name} does not exist")
            text = path.read_text()
        return parse_buildspec(text)

    def _run_phases(self, spec: Buildspec) -> BuildOutcome:
        succeeding = True
        for name in PHASES:
            # A build that failed before its build phase has nothing to clear up after.
            if not succeeding and name != "post_build":
                continue
            result = self._run_phase(name, spec, succeeding)
            if ended := self._ended():
                self._on_phase(name.upper(), ended, "")
                return BuildOutcome(ended)
            self._on_phase(name.upper(), "SUCCEEDED" if result.ok else "FAILED", result.context)
            if not result.ok and not spec.phases[name].go_on:
                succeeding = False
                if name in ("install", "pre_build"):
                    return BuildOutcome("FAILED")
        exported = self._exported(spec)
        return BuildOutcome("SUCCEEDED" if succeeding else "FAILED", exported)

    def _run_phase(self, name: str, spec: Buildspec, succeeding: bool) -> PhaseResult:
        phase = spec.phases[name]
        self._on_phase(name.upper(), "IN_PROGRESS", "")
        if not phase.commands and not phase.always:
            return PhaseResult(ok=True)
        self._files.failed.unlink(missing_ok=True)
        environment = self._environment(spec, succeeding)
        result = self._files.result(self._bash(self._files.script(phase, succeeding), environment))
        if phase.always and not self._ended():
            self._bash(self._files.always_script(phase, succeeding), environment)
        return result

    def _bash(self, script: str, environment: Mapping[str, str]) -> int:
        bash = shutil.which("bash")
        if bash is None:
            self._log("A build needs bash, which this machine lacks.")
            return 127
        with self._lock:
            if self._stopped.is_set():
                return -9
            self._group = ProcessGroup(
                [bash, "--noprofile", "--norc", "-c", script],
                environment=environment,
                folder=self._source,
                notes=self._settings.groups,
                on_line=self._log,
            )
        code = self._group.wait(max(self._deadline - time.monotonic(), 0.0))
        # Also what a phase has left in the background: its shell is gone.
        self._group.kill()
        return -9 if code is None else code

    def _ended(self) -> str:
        if self._stopped.is_set():
            return "STOPPED"
        return "TIMED_OUT" if time.monotonic() >= self._deadline else ""

    def _environment(self, spec: Buildspec, succeeding: bool) -> dict[str, str]:
        home = self._folder / "home"
        home.mkdir(exist_ok=True)
        tools = tool_folder(self._settings)
        plan = self._plan
        return clean_environment(
            {
                **network_environment(),
                **spec.variables,
                **plan.environment,
                **plan.role.environment(),
                "AWS_ENDPOINT_URL": self._settings.url,
                "AWS_REGION": self._settings.region,
                "AWS_DEFAULT_REGION": self._settings.region,
                "CI": "true",
                "CODEBUILD_CI": "true",
                "CODEBUILD_BUILD_ID": plan.build_id,
                "CODEBUILD_BUILD_ARN": plan.arn,
                "CODEBUILD_BUILD_NUMBER": str(plan.number),
                "CODEBUILD_BUILD_SUCCEEDING": str(int(succeeding)),
                "CODEBUILD_INITIATOR": plan.initiator,
                "CODEBUILD_KMS_KEY_ID": plan.encryption_key,
                "CODEBUILD_LOG_PATH": plan.log_stream,
                "CODEBUILD_SRC_DIR": str(self._source),
                "CODEBUILD_START_TIME": str(int(time.time() * 1000)),
                "HOME": str(home),
                "TMPDIR": str(home),
                "PATH": f"{tools}:{os.environ.get('PATH', '')}",
            }
        )

    def _exported(self, spec: Buildspec) -> dict[str, str]:
        if not spec.exported or not self._files.state.exists():
            return {}
        lines = "".join(f'printf "%s\\0" "${{{name}-}}"\n' for name in spec.exported)
        values: list[str] = []
        group = ProcessGroup(
            ["bash", "-c", f". {self._files.state} 2>/dev/null\n{lines}"],
            environment=clean_environment({}),
            folder=self._source,
            notes=self._settings.groups,
            on_line=values.append,
        )
        group.wait(5)
        group.stop()
        return dict(zip(spec.exported, "\n".join(values).split("\0"), strict=False))


def tool_folder(settings: CloudSettings) -> Path:
    """A folder with `python3`, `python` and `docker`, to come first on a build's PATH."""
    folder = settings.state / "bin"
    if not folder.exists():
        making = settings.state / f"bin-{threading.get_ident()}"
        making.mkdir()
        # Scripts, not links: an interpreter that is linked to forgets its virtual environment.
        python = f'exec "{sys.executable}" "$@"'
        shim = (
            f'SD_LOCAL_IMAGES="{settings.images}" PYTHONPATH="{REPOSITORY}" '
            f'exec "{sys.executable}" -P -m local_cloud.docker_shim "$@"'
        )
        for name, line in (("python3", python), ("python", python), ("docker", shim)):
            path = making / name
            path.write_text(f"#!/bin/sh\n{line}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        try:
            making.rename(folder)
        except OSError:
            # Another build was quicker.
            shutil.rmtree(making)
    return folder
