"""Serving processes as containers start them, and pictures asked of them."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from sd_contract.manifest import NAME, Manifest
from sd_contract.sampling import LINSPACE, STANDARD, Sampling

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
        yield Server(process, f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def container_environment(weights: Path, side: int, guidance: float = 7.5) -> dict[str, str]:
    """What a container is told, whatever its kind; it serves nothing without a manifest."""
    manifest = weights / NAME
    key = Manifest.from_json(manifest.read_bytes()).key if manifest.is_file() else "none"
    return {
        "SD_VARIANT": "speed",
        "SD_SIZES": f"{side}x{side}",
        "SD_MODES": json.dumps({STANDARD: Sampling(25, LINSPACE).document()}),
        "SD_DEFAULT_GUIDANCE": f"{guidance:g}",
        "SD_ARTIFACT_KEY": key,
        "SM_MODEL_DIR": str(weights),
    }


def diffusers_environment(weights: Path, side: int) -> dict[str, str]:
    """And the diffusers kind's image."""
    return {**container_environment(weights, side), "SD_LOADER": "g5.inference:load"}


class Server:
    def __init__(self, process: "subprocess.Popen[bytes]", url: str) -> None:
        self._process = process
        self._url = url

    def wait(self) -> None:
        """Until it serves. Raises BenchmarkError where it has ended."""
        until = time.monotonic() + PATIENCE_S
        while not self.is_ready():
            if self._process.poll() is not None:
                raise BenchmarkError(f"the server ended with status {self._process.returncode}")
            if time.monotonic() > until:
                raise BenchmarkError(f"the server isn't ready after {PATIENCE_S:g} s")
            time.sleep(_LOOK_S)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/ping", timeout=PATIENCE_S):
                return True
        except OSError:  # refused, or a status that says no
            return False

    def draw(self, **request: object) -> dict[str, Any]:
        """The answer's document. Raises BenchmarkError."""
        body = json.dumps(request).encode()
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{self._url}/invocations", body, headers)
        try:
            with urllib.request.urlopen(asked, timeout=PATIENCE_S) as response:
                document: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            raise BenchmarkError(f"the server answered {error.code}: {error.read()!r}") from error
        if "error" in document:
            raise BenchmarkError(f"the server answered {document}")
        return document

    def draw_together(
        self, requests: Sequence[Mapping[str, object]], callers: int | None = None
    ) -> list[dict[str, Any]]:
        """In their order; `callers` at a time, all of them without."""
        with ThreadPoolExecutor(callers or len(requests)) as pool:
            return list(pool.map(lambda request: self.draw(**request), requests))
