"""A local cloud as a child process: started, ready, spoken to, ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from local_cloud.failed import Failed
from local_cloud.processes import end_noted_groups, free_port
from local_cloud.settings import REPOSITORY, CloudSettings

BOOT_TIMEOUT_S = 60.0
# Two may be removing the same folder, and each trip over what the other has done.
TRIES = 10


class CloudFailed(Failed):
    """The server did not come up; the message says why and what to do."""


class ChildCloud:
    """Context manager: a running local cloud and the deployer's credentials for it."""

    def __init__(self, port: int | None = None, *, invoke_timeout_s: float | None = None) -> None:
        """Take `port`, or any free one. CloudFailed if it's taken or the disk is full."""
        self.port = port or free_port()
        check_port(self.port)
        self.state = make_state_folder()
        self.settings = CloudSettings(port=self.port, state=self.state)
        # Without a name, so that there is nothing to clear up whatever ends this.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._limit = ("--invoke-timeout", str(invoke_timeout_s)) if invoke_timeout_s else ()
        self._process: subprocess.Popen[bytes] | None = None
        self._keys: dict[str, str] = {}

    def __enter__(self) -> ChildCloud:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def environment(self) -> dict[str, str]:
        """What an AWS SDK or the CDK CLI needs to reach this cloud as the deployer."""
        return {
            "AWS_ENDPOINT_URL": self.settings.url,
            "AWS_ACCESS_KEY_ID": self._keys["access_key"],
            "AWS_SECRET_ACCESS_KEY": self._keys["secret_key"],
            "AWS_REGION": self.settings.region,
            "AWS_DEFAULT_REGION": self.settings.region,
        }

    def client(self, service: str, read_timeout_s: float = 60.0) -> Any:
        """A boto3 client under the deployer's credentials."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            endpoint_url=self.settings.url,
            region_name=self.settings.region,
            aws_access_key_id=self._keys["access_key"],
            aws_secret_access_key=self._keys["secret_key"],
            config=Config(read_timeout=read_timeout_s, retries={"total_max_attempts": 1}),
        )

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the server and all it started. Safe to call twice."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
                try:
                    self._process.wait(20)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait(5)
            if self._process.stdin is not None:
                self._process.stdin.close()
        # The server's janitor does the same; it may not have come up.
        end_noted_groups(self.settings.groups)
        for _ in range(TRIES):
            shutil.rmtree(self.state, ignore_errors=True)
            if not self.state.exists():
                break
        self._log.close()

    def last_log_lines(self, count: int = 15) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-count:])

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "local_cloud", "serve",
                "--state", str(self.state), "--port", str(self.port),
                "--until-eof", *self._limit,
            ],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LOG_LEVEL": os.environ.get("LOG_LEVEL", "INFO")},
            # Ctrl-C is for whoever started this; it ends the child in its own time.
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        while not self._ready():
            if not self.running():
                raise CloudFailed(
                    f"The local cloud ended while it booted:\n{self.last_log_lines()}"
                )
            if time.monotonic() > deadline:
                raise CloudFailed(f"The local cloud did not boot in {BOOT_TIMEOUT_S:g} s.")
            time.sleep(0.05)
        self._keys = json.loads((self.state / "deployer.json").read_text())

    def _ready(self) -> bool:
        try:
            ready = f"{self.settings.url}/_ministack/ready"
            return httpx.get(ready, timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False


def check_port(port: int) -> None:
    """CloudFailed if something listens on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CloudFailed(
                f"Port {port} of 127.0.0.1 is not free ({error.strerror}). End what uses it, or "
                f"choose another port: SD_LOCAL_PORT={port + 1} make up"
            ) from error


def make_state_folder() -> Path:
    """A new folder below the repository's .local/; CloudFailed where the disk has no room."""
    parent = REPOSITORY / ".local"
    needed_mb = 500
    try:
        parent.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="cloud-", dir=parent))
        free_mb = shutil.disk_usage(folder).free // 2**20
    except OSError as error:
        raise CloudFailed(
            f"Can't write below {parent} ({error.strerror}): make room or grant access."
        ) from error
    if free_mb < needed_mb:
        folder.rmdir()
        raise CloudFailed(
            f"Only {free_mb} MB are free on the disk of {parent}; this needs {needed_mb} MB. "
            "Make room (`make clean` removes everything that was made here)."
        )
    return folder
