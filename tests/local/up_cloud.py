"""A whole `python -m local_cloud up` as tests use it: from out/local.json alone, like a script."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil

from api_client import Api, GenerationAnswer, listed_models
from local_cloud.processes import free_port
from local_cloud.settings import REPOSITORY
from sd_contract.registration import Registration

UP_TIMEOUT_S = 900.0
# Tests ask faster than the usage plan allows, and machines that run them are busy.
TRY_AGAIN = (429, 503, 504)
TRIES = 5


class UpFailed(Exception):
    """`up` ended, or a deploy failed; the message is what it printed."""


class UpCloud:
    """Context manager around `up` in a process of its own, on a free port."""

    def __init__(self, out: Path) -> None:
        self.out, self.port = out, free_port()
        self.printed = ""
        self._http = httpx.Client(timeout=120, trust_env=False)
        self._process: subprocess.Popen[bytes] | None = None
        self.facts: dict[str, Any] = {}
        """out/local.json."""

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
        self.facts = json.loads((self.out / "local.json").read_text())
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def end(self) -> int:
        """Ctrl-C; the exit status. Safe to call twice."""
        assert self._process is not None
        self._http.close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
        return self._process.wait(60)

    def client(self, service: str) -> Any:
        """A boto3 client with the deployer's credentials."""
        variables = self._deploy_variables()
        return boto3.client(
            service,
            endpoint_url=self.facts["aws_endpoint_url"],
            region_name=variables["AWS_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )

    @property
    def state(self) -> Path:
        """The folder that the running cloud keeps everything in."""
        for process in psutil.Process(self.pid).children():
            if "--state" in (words := process.cmdline()):
                return Path(words[words.index("--state") + 1])
        raise AssertionError("no server")

    def deploy(self, stack: str, *context: str) -> str:
        """The deploy command as typed, with more `-c`; what it printed. UpFailed."""
        return self._cdk(self._line(stack, context))

    def destroy(self, stack: str, *context: str) -> str:
        """`cdk destroy` in the deploy command's place."""
        line = self._line(stack, context).replace(" cdk deploy ", " cdk destroy ")
        return self._cdk(line.replace("--require-approval never", "--force"))

    @property
    def api(self) -> Api:
        return Api(self.facts["api_url"], self.facts["api_key"])

    def generate(self, **fields: Any) -> httpx.Response:
        return self.send(self.api.generation(**fields))

    def pictures(self, **fields: Any) -> list[bytes]:
        """The PNGs of a request that must succeed."""
        response = self.generate(**{"response_format": "b64_json", **fields})
        return [picture.png or b"" for picture in GenerationAnswer.of(response).pictures]

    def models(self) -> dict[str, Registration]:
        return listed_models(self.send(self.api.models()))

    def send(self, request: httpx.Request) -> httpx.Response:
        """What the API says to try again is tried again."""
        for _ in range(TRIES - 1):
            response = self._http.send(request)
            if response.status_code not in TRY_AGAIN:
                break
            time.sleep(float(response.headers.get("retry-after", 0)))
        else:
            response = self._http.send(request)
        return response

    def _deploy_variables(self) -> dict[str, str]:
        words = shlex.split(self.facts["deploy_command"])
        return dict(word.split("=", 1) for word in words if re.match(r"AWS_\w+=", word))

    def environment(self) -> dict[str, str]:
        """Of a command that is to talk to it, as its user has it."""
        own = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        return {**own, **self._deploy_variables()}

    def _line(self, stack: str, context: Sequence[str]) -> str:
        line = self.facts["deploy_command"].format(stack=stack)
        return " ".join([line, *(f"-c {shlex.quote(pair)}" for pair in context)])

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
