"""One task of a service: its image's command as a process, with what ECS gives it."""

from __future__ import annotations

import collections
import http.client
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_cloud.docker.command import ContainerCommand
from local_cloud.ministack.identity import RoleSession
from local_cloud.ministack.telemetry import LogStream
from local_cloud.processes import ProcessGroup, clean_environment, free_port
from local_cloud.settings import CloudSettings, api_url

HEALTH_TIMEOUT_S = 2.0
_API = re.compile(r"https://[a-z0-9]+\.execute-api\.[a-z0-9-]+\.amazonaws\.com[^/]*/v1")


class TaskFailed(Exception):
    """It did not become healthy; the message ends with what it has said last."""


@dataclass(frozen=True)
class TaskPlan:
    """`environment` is the service's, its secrets among them; `role` the task's own, if any."""

    command: ContainerCommand
    port: int
    environment: Mapping[str, str]
    role: RoleSession | None
    health_path: str
    folder: Path
    log: LogStream


class Task:
    """Started when it is made; `port` is where it answers."""

    def __init__(self, settings: CloudSettings, plan: TaskPlan) -> None:
        self._plan = plan
        self._lines: collections.deque[str] = collections.deque(maxlen=20)
        told = {**plan.command.environment, **plan.environment}
        mapped = any(value == str(plan.port) for value in told.values())
        self.port = free_port() if mapped else plan.port
        plan.folder.mkdir(parents=True, exist_ok=True)
        self._group = ProcessGroup(
            plan.command.command,
            environment=clean_environment(
                {
                    **{name: self._here(settings, value) for name, value in told.items()},
                    **(plan.role.environment() if plan.role else {}),
                    "AWS_ENDPOINT_URL": settings.url,
                    "AWS_REGION": settings.region,
                    "AWS_DEFAULT_REGION": settings.region,
                    "HOME": str(plan.folder),
                    "TMPDIR": str(plan.folder),
                }
            ),
            folder=plan.command.folder,
            notes=settings.groups,
            on_line=self._keep,
        )

    def await_healthy(self, timeout_s: float) -> None:
        """TaskFailed where it ends before, or takes longer."""
        deadline = time.monotonic() + timeout_s
        while not self._healthy():
            if self._group.exit_code is not None:
                self._group.wait(2)
                raise TaskFailed(f"Essential container in task exited: {self._last_words()}")
            if time.monotonic() > deadline:
                raise TaskFailed(
                    f"Task failed ELB health checks: no 200 from {self._plan.health_path} within "
                    f"{timeout_s:g} s; last line of its log: {self._last_words()}"
                )
            time.sleep(0.1)

    def stop(self) -> None:
        self._group.stop()

    def _here(self, settings: CloudSettings, value: str) -> str:
        """A process has no network of its own. Its port is a free one, wherever it's named; what
        listens on every address listens on this machine's own; and an API answers by a path."""
        if value == str(self._plan.port):
            return str(self.port)
        if value == "0.0.0.0":  # noqa: S104 - the contrary
            return "127.0.0.1"
        return _API.sub(lambda found: api_url(settings, found[0]), value)

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HEALTH_TIMEOUT_S)
        try:
            connection.request("GET", self._plan.health_path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _keep(self, line: str) -> None:
        self._lines.append(line)
        self._plan.log.write(line)

    def _last_words(self) -> str:
        said = next((line for line in reversed(self._lines) if line.strip()), "")
        return said or "the container wrote nothing"
