"""`python -m sd_serving.server` as a container starts it, on the small model."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from local_cloud.djl import host
from sd_contract.environment import Batching
from sd_serving import server
from tests.fakes.serving import ASSETS, ENV, make_artifact, pixels

PATIENCE_S = 120


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_artifact(tmp_path / "model")


@contextmanager
def started(**env: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sd_serving.server"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ASSETS}:{ASSETS.parent}",
            "OMP_NUM_THREADS": "1",
            **ENV,
            "SD_LOADER": "g5.inference:load",
            "SD_BIND_HOST": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": "0",
            **env,
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def last_words(**env: str) -> list[str]:
    """All that a server says that can't start."""
    with started(**env) as process:
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    return out.splitlines()


def lines_until(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        document: dict[str, Any] = json.loads(line)
        if document["event"] == event:
            return document
    raise AssertionError(f"ended without {event}")


def test_loads_serves_and_leaves_on_sigterm(model: Path) -> None:
    """And draws requests together: a minute is what the first would wait for the second."""
    together = Batching(2, 60_000).to_env()
    with started(SM_MODEL_DIR=str(model), **together) as process, ThreadPoolExecutor(2) as pool:
        port = lines_until(process, "listening")["port"]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
            while (ping := client.get("/ping")).status_code == 503:
                assert ping.json() == {"status": "loading"}
            assert ping.status_code == 200
            body = {"prompt": "a red circle", "num_inference_steps": 1, "seed": 7}
            one, two, both = pool.map(
                lambda changes: client.post("/invocations", json={**body, **changes}).json(),
                [{"seed": 7}, {"seed": 8}, {"num_images": 2}],
            )
            assert [each["engine"]["images_in_batch"] for each in (one, two, both)] == [2, 2, 2]
            for alone, of_two in zip([*one["images"], *two["images"]], both["images"], strict=True):
                off = np.abs(pixels(b64decode(alone)) - pixels(b64decode(of_two)))
                assert off.max() <= 1
            too_large = client.post("/invocations", content=b"x" * 7_000_000)
            assert too_large.status_code == 413
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert "FATAL" not in rest


def test_sigterm_lets_a_running_request_finish() -> None:
    with (
        started(SD_LOADER="tests.fakes.serving:load_slow") as process,
        ThreadPoolExecutor(1) as pool,
    ):
        port = lines_until(process, "listening")["port"]
        lines_until(process, "ready")
        body = {"prompt": "a red circle", "num_inference_steps": 5}
        url = f"http://127.0.0.1:{port}/invocations"
        answer = pool.submit(httpx.post, url, json=body, timeout=PATIENCE_S)
        lines_until(process, "drawing")
        process.send_signal(signal.SIGTERM)
        assert answer.result(PATIENCE_S).status_code == 200
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0


def test_a_model_that_cannot_load_ends_with_its_reason_and_status_1(model: Path) -> None:
    (model / "manifest.json").unlink()
    *_, last = last_words(SM_MODEL_DIR=str(model))
    assert last.startswith(f"FATAL: {model}/manifest.json is missing")


def test_wrong_settings_end_with_all_of_them() -> None:
    (line,) = last_words(SD_SIZES="big", SD_MODES="{}")
    assert line.startswith("FATAL: ")
    assert "SD_SIZES='big'" in line
    assert "SD_MODES='{}'" in line


def test_a_port_in_use_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        *_, last = last_words(SAGEMAKER_BIND_TO_PORT=str(port))
    assert last.startswith(f"FATAL: port {port} can't be bound: Address already in")


@pytest.mark.parametrize(
    "listen", [lambda: server.listen("127.0.0.1", 0), lambda: host.listen("0")]
)
def test_a_connection_sends_what_it_has_at_once(listen: Callable[[], socket.socket]) -> None:
    """On the local cloud's DJL host as well."""
    with listen() as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
