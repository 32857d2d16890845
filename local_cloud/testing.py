"""A whole `python -m local_cloud up` as tests use it: from out/local.json alone, like a script."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from local_cloud.endpoint_process import free_port
from local_cloud.settings import REPOSITORY

UP_TIMEOUT_S = 900.0
# Tests ask faster than the usage plan allows, and machines that run them are busy.
TRY_AGAIN = (429, 503, 504)
TRIES = 5


class UpFailed(Exception):
    """`up` ended, or a deploy failed; the message is what it printed."""


@dataclass(frozen=True)
class Reply:
    """An HTTP answer. `body` is None where it isn't JSON."""

    status: int
    headers: dict[str, str]
    body: Any


class UpCloud:
    """Context manager around `up` in a process of its own, on a free port."""

    def __init__(self, out: Path) -> None:
        self.out, self.port = out, free_port()
        self.printed = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._facts: dict[str, Any] = {}

    def __enter__(self) -> UpCloud:
        log = self.out / "up.log"
        with log.open("w") as output:
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "local_cloud", "up"],
                cwd=REPOSITORY,
                env={**os.environ, "SD_LOCAL_PORT": str(self.port), "SD_OUT": str(self.out)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + UP_TIMEOUT_S
        while "until Ctrl-C" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                self.end()
                raise UpFailed(log.read_text())
            time.sleep(0.2)
        self.printed = log.read_text()
        self._facts = json.loads((self.out / "local.json").read_text())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    @property
    def facts(self) -> dict[str, Any]:
        """out/local.json."""
        return self._facts

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def end(self) -> int:
        """Ctrl-C; the exit status. Safe to call twice."""
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
        return self._process.wait(60)

    def client(self, service: str) -> Any:
        """A boto3 client with the deployer's credentials."""
        import boto3

        variables = self._deploy_variables()
        return boto3.client(
            service,
            endpoint_url=self._facts["aws_endpoint_url"],
            region_name=variables["AWS_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )

    def state(self) -> Path:
        """The folder that the running cloud keeps everything in."""
        found = re.search(r"--state (\S+) --port " + str(self.port), _processes())
        assert found
        return Path(found[1])

    def deploy(self, stack: str, *context: str) -> str:
        """The deploy command as typed, with more `-c`; what it printed. UpFailed."""
        line = self._facts["deploy_command"].format(stack=stack)
        return self._cdk(" ".join([line, *(f"-c {shlex.quote(pair)}" for pair in context)]))

    def destroy(self, stack: str, *context: str) -> str:
        """`cdk destroy` in the deploy command's place."""
        line = self._facts["deploy_command"].format(stack=stack)
        line = " ".join([line, *(f"-c {shlex.quote(pair)}" for pair in context)])
        line = line.replace(" cdk deploy ", " cdk destroy ")
        return self._cdk(line.replace("--require-approval never", "--force"))

    def generate(self, **request: Any) -> Reply:
        """POST /images/generations."""
        return self.call("/images/generations", request)

    def pictures(self, **request: Any) -> list[bytes]:
        """The PNGs of a request that must succeed."""
        reply = self.generate(**{"response_format": "b64_json", **request})
        if reply.status != 200:
            raise UpFailed(f"HTTP {reply.status}: {reply.body}")
        return [base64.b64decode(item["b64_json"]) for item in reply.body["data"]]

    def models(self) -> list[str]:
        return [model["id"] for model in self.call("/models").body["data"]]

    def call(
        self, path: str, request: Any = None, *, body: bytes | None = None, key: str | None = ""
    ) -> Reply:
        """`request` as JSON or `body` as it is; GET without either. `key=None` sends none.

        What the API says to try again is tried again.
        """
        headers = {"content-type": "application/json"}
        if key is not None:
            headers["x-api-key"] = key or self._facts["api_key"]
        if request is not None:
            body = json.dumps(request).encode()
        url = f"{self._facts['api_url']}{path}"
        for _ in range(TRIES - 1):
            reply = _send(urllib.request.Request(url, body, headers))
            if reply.status not in TRY_AGAIN:
                return reply
            time.sleep(float(reply.headers.get("retry-after", 0)))
        return _send(urllib.request.Request(url, body, headers))

    def _deploy_variables(self) -> dict[str, str]:
        words = shlex.split(self._facts["deploy_command"])
        return dict(word.split("=", 1) for word in words if re.match(r"AWS_\w+=", word))

    def _cdk(self, line: str) -> str:
        # Elsewhere than a person's own cdk.out, which another CLI may be writing.
        line += f" --output {shlex.quote(str(self.out / 'cdk.out'))}"
        done = subprocess.run(
            line,
            shell=True,
            cwd=REPOSITORY,
            env={k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        if done.returncode:
            raise UpFailed(output)
        return output


def _send(message: urllib.request.Request) -> Reply:
    try:
        with urllib.request.urlopen(message, timeout=120) as answer:
            return _reply(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return _reply(error.code, dict(error.headers), error.read())


def _reply(status: int, headers: dict[str, str], body: bytes) -> Reply:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    return Reply(status, {name.lower(): value for name, value in headers.items()}, document)


def _processes() -> str:
    import psutil

    lines = []
    for process in psutil.process_iter(["cmdline"]):
        lines.append(" ".join(process.info["cmdline"] or []))
    return "\n".join(lines)
