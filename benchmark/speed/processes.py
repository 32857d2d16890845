"""Serving processes as containers start them, and pictures asked of them."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmark.errors import BenchmarkError

ROOT = Path(__file__).parents[2]
PATIENCE_S = 900.0
_LOOK_S = 0.02


@contextmanager
def serving(module: Sequence[str], env: Mapping[str, str]) -> Iterator["Server"]:
    """`python -m <module>` on a free port, from its very start on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("OMP_")}
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env={
            **kept,
            "PYTHONPATH": f"{ROOT / 'model_assets'}:{ROOT}",
            "HF_HUB_OFFLINE": "1",
            "SD_BIND_HOST": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": str(port),
            **env,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
            yield Server(process, client)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Server:
    def __init__(self, process: "subprocess.Popen[bytes]", client: httpx.Client) -> None:
        self._process = process
        self._client = client

    def wait(self) -> None:
        """Until it serves. Raises BenchmarkError where it has ended."""
        until = time.monotonic() + PATIENCE_S
        while not self._is_ready():
            if self._process.poll() is not None:
                raise BenchmarkError(f"the server ended with status {self._process.returncode}")
            if time.monotonic() > until:
                raise BenchmarkError(f"the server isn't ready after {PATIENCE_S:g} s")
            time.sleep(_LOOK_S)

    def draw(self, **request: object) -> dict[str, Any]:
        """The answer's document. Raises BenchmarkError."""
        response = self._client.post("/invocations", content=json.dumps(request).encode())
        document: dict[str, Any] = response.json()
        if response.status_code != 200 or "error" in document:
            raise BenchmarkError(f"the server answered {response.status_code}: {document}")
        return document

    def draw_together(self, requests: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(lambda request: self.draw(**request), requests))

    def _is_ready(self) -> bool:
        try:
            return self._client.get("/ping").status_code == 200
        except httpx.TransportError:
            return False
