"""One container of an endpoint: started, pinged, restarted when it dies, its log kept.

The contract is SageMaker's: the port in SAGEMAKER_BIND_TO_PORT, `GET /ping` within two seconds,
the model in a folder that SM_MODEL_DIR names (/opt/ml/model on AWS).
"""

from __future__ import annotations

import collections
import http.client
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_cloud.docker.command import ContainerCommand
from local_cloud.ministack.telemetry import LogStream
from local_cloud.processes import (
    ProcessGroup,
    clean_environment,
    free_port,
    thread_environment,
)
from local_cloud.settings import CloudSettings

PING_TIMEOUT_S = 2.0
STARTUP_PING_INTERVAL_S = 0.1


class ContainerFailed(Exception):
    """The container did not become healthy; the message is its last word, which AWS leaves in the
    log."""


@dataclass(frozen=True)
class ContainerPlan:
    """What one container is started with, and started again with after a crash."""

    command: ContainerCommand
    model: Path
    environment: Mapping[str, str]
    """The Model's Environment; it wins over the image's, as in Docker."""
    folder: Path
    startup_timeout_s: float


class Container:
    """A running container. `start` blocks until it is healthy; a thread then looks after it."""

    def __init__(self, settings: CloudSettings, plan: ContainerPlan, log: LogStream) -> None:
        self.port = 0
        self._settings, self._plan, self._log = settings, plan, log
        self._restarts = 0
        self._healthy = threading.Event()
        self._stopping = threading.Event()
        self._lines: collections.deque[str] = collections.deque(maxlen=20)
        self._fatal = ""
        self._group: ProcessGroup | None = None
        self._watcher: threading.Thread | None = None
        # A restart must not start a process that a stop has just missed.
        self._lock = threading.Lock()

    @property
    def healthy(self) -> bool:
        return self._healthy.is_set()

    def start(self) -> None:
        """Start and wait for `/ping`; one that exits is started again. ContainerFailed with the
        container's last words, and what was waited for."""
        self._launch()
        deadline = time.monotonic() + self._plan.startup_timeout_s
        while not self._stopping.is_set():
            if self._exited():
                if self._restarts + 1 >= self._settings.container_starts:
                    raise ContainerFailed(
                        f"{self._last_words()} (given up after {self._settings.container_starts} "
                        f"starts; AWS goes on for {self._plan.startup_timeout_s:g} s)"
                    )
                self._restart("the process exited")
            elif self._pinged():
                self._healthy.set()
                self._watcher = threading.Thread(target=self._watch, daemon=True)
                self._watcher.start()
                return
            if time.monotonic() > deadline:
                self.stop()
                raise ContainerFailed(
                    f"no healthy /ping within {self._plan.startup_timeout_s:g} s; "
                    f"last line of its log: {self._last_words()}"
                )
            time.sleep(STARTUP_PING_INTERVAL_S)
        raise ContainerFailed("the container was stopped while it started")

    def stop(self) -> None:
        """End the process and the watch over it. Safe to call twice and before `start`."""
        self._stopping.set()
        self._healthy.clear()
        with self._lock:
            if self._group:
                self._group.stop()
        if self._watcher and self._watcher is not threading.current_thread():
            self._watcher.join(timeout=10)

    def _launch(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            self.port = free_port()
            self._fatal = ""
            self._group = ProcessGroup(
                self._plan.command.command,
                environment=self._environment(),
                folder=self._plan.command.folder,
                notes=self._settings.groups,
                on_line=self._keep,
            )

    def _environment(self) -> dict[str, str]:
        home = self._plan.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        return clean_environment(
            {
                **thread_environment(self._plan.model),
                **self._plan.command.environment,
                **self._plan.environment,
                "HOME": str(home),
                "TMPDIR": str(home),
                "SM_MODEL_DIR": str(self._plan.model),
                "SAGEMAKER_BIND_TO_PORT": str(self.port),
                "AWS_REGION": self._settings.region,
                "AWS_DEFAULT_REGION": self._settings.region,
            }
        )

    def _keep(self, line: str) -> None:
        self._lines.append(line)
        # DJL Serving puts a prefix before it.
        _, fatal, reason = line.partition("FATAL: ")
        if fatal:
            self._fatal = fatal + reason
        self._log.write(line)

    def _last_words(self) -> str:
        if self._group and self._group.exit_code is not None:
            self._group.wait()
        said = self._fatal or next((line for line in reversed(self._lines) if line.strip()), "")
        return said or "the container wrote nothing"

    def _exited(self) -> bool:
        return self._group is not None and self._group.exit_code is not None

    def _pinged(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PING_TIMEOUT_S)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _watch(self) -> None:
        """Restart a container that exited, or that has failed its ping for long."""
        last_good = time.monotonic()
        next_ping = time.monotonic() + self._settings.ping_interval_s
        while not self._stopping.wait(0.1):
            if self._exited():
                self._restart("the process exited")
                last_good = time.monotonic()
            elif time.monotonic() >= next_ping or not self._healthy.is_set():
                next_ping = time.monotonic() + self._settings.ping_interval_s
                if self._pinged():
                    self._healthy.set()
                    last_good = time.monotonic()
                else:
                    self._healthy.clear()
                limit = self._settings.unhealthy_restart_s
                if not self.healthy and time.monotonic() - last_good > limit:
                    self._restart(f"no healthy /ping for {limit:g} s")
                    last_good = time.monotonic() + self._plan.startup_timeout_s

    def _restart(self, why: str) -> None:
        self._healthy.clear()
        if self._stopping.wait(min(0.5 * 2**self._restarts, 10.0)):
            return
        self._restarts += 1
        self._log.write(f"Container restarted: {why}")
        if self._group:
            self._group.stop()
        self._launch()
