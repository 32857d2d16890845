"""A DJL host in a process of its own, and a model folder that needs no model."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from local_cloud.docker.dockerfile import parse_dockerfile
from local_cloud.processes import free_port
from tests.fakes.processes import alive

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "model_assets" / "djl" / "Dockerfile"
PATIENCE_S = 120.0
"""Against a hang alone."""
PREFIX = re.compile(r"\[INFO \] PyProcess - W-\d+-\w+-stdout: \[1,0\]<stdout>:")

ECHO = """
import os, sys, time

from djl_python import Output


def handle(inputs):
    if inputs.get_as_bytes() is None:
        return None
    output = Output()
    members = inputs.get_batches()
    for index, member in enumerate(members):
        body = member.get_as_bytes().decode()
        exec(body if member.get_property("x-run") else "")
        output.add(body, batch_index=index if len(members) > 1 else None)
    return output
"""
"""Answers with the body; runs it first where the header X-Run is there."""


def image_environment() -> dict[str, str]:
    """What the image of the variant sets."""
    return {
        name: value
        for instruction in parse_dockerfile(DOCKERFILE.read_text())
        if instruction.name == "ENV"
        for name, value in instruction.pairs().items()
    }


def echo_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "serving.properties").touch()
    (folder / "model.py").write_text(ECHO)
    return folder


class Host:
    """Its lines without DJL's part of the prefix are in `said`, all of them in `lines`."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def said(self) -> list[str]:
        return [PREFIX.sub("", line) for line in self.lines if PREFIX.match(line)]

    def events(self, name: str) -> list[Any]:
        return [json.loads(line) for line in self.said if line.startswith(f'{{"event": "{name}"')]

    def until(self, true: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline, "\n".join(self.lines)
            time.sleep(0.02)

    def until_it_serves(self) -> Host:
        self.until(lambda: self.process.poll() is not None or self.ping() is not None)
        assert self.process.poll() is None, "\n".join(self.lines)
        return self

    def ping(self) -> httpx.Response | None:
        """None where the port isn't bound."""
        try:
            return httpx.get(f"{self.url}/ping", timeout=PATIENCE_S)
        except httpx.TransportError:
            return None

    def post(self, body: str | dict[str, object], **headers: str) -> httpx.Response:
        sent = body if isinstance(body, str) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(
            f"{self.url}/invocations",
            content=sent.encode(),
            headers={"content-type": "application/json", **named},
            timeout=PATIENCE_S,
        )

    def run(self, code: str) -> httpx.Response:
        return self.post(code, x_run="yes")

    def send_together(self, bodies: list[dict[str, object]], **headers: str) -> list[Any]:
        """The answers' documents. One full batch, whatever the order in which it arrives, where
        the host waits for as many."""
        with ThreadPoolExecutor(len(bodies)) as pool:
            replies = list(pool.map(lambda body: self.post(body, **headers), bodies))
        assert {reply.status_code for reply in replies} == {200}
        assert {reply.headers["content-type"] for reply in replies} == {"application/json"}
        return [reply.json() for reply in replies]

    @property
    def python(self) -> psutil.Process:
        """The process that the handler runs in."""
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def kill_python(self) -> None:
        """As from outside, between two requests."""
        child = self.python
        child.send_signal(signal.SIGKILL)
        self.until(lambda: not alive(child.pid))

    def last_words(self) -> str:
        """Of a host that doesn't come up: its handler's FATAL line, or its own last one."""
        self.process.wait(PATIENCE_S)
        self._reader.join()
        assert self.process.returncode == 1, "\n".join(self.lines)
        fatal = [line for line in self.said if line.startswith("FATAL: ")]
        return fatal[-1] if fatal else self.lines[-1]

    def stop(self) -> None:
        children = psutil.Process(self.process.pid).children() if self.running else []
        self.process.terminate()
        self.process.wait()
        for child in children:
            child.kill()
        self._reader.join()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as stdout:
            for line in stdout:
                self.lines.append(line.rstrip("\n"))


@contextmanager
def hosted(folder: Path, **env: str) -> Iterator[Host]:
    port = str(free_port())
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-m", "local_cloud.djl.host", str(folder.parent)],
        cwd=ROOT,
        env={
            **kept,
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            "SAGEMAKER_BIND_TO_PORT": port,
            **env,
            "SERVING_LOAD_MODELS": f"djl::DeepSpeed=/{folder.name}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    host = Host(process, f"http://127.0.0.1:{port}")
    try:
        yield host
    finally:
        host.stop()
