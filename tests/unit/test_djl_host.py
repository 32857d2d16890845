"""model.py under the host, as the local cloud's endpoint runs it: a process of its own."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from sd_serving.diffusers_parts import load_diffusers
from sd_serving.engine import Engine
from tests.djl_fakes import KEY, WEIGHTS, make_artifact
from tests.serving_fakes import ENV, config, request

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "model_assets"
TOLERANCE = 4
"""Of 255: a batch of eight may round a value to the one next to a lone picture's."""
BATCH = 8


def start(folder: Path, weights: Path, **env: str) -> subprocess.Popen[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "local_cloud.djl_host", "--model-dir", str(folder)],
        cwd=ROOT,
        env={
            **kept,
            **ENV,
            "SD_VARIANT": "djl",
            "SD_SIZES": "64x64",
            "SD_DTYPE": "float32",
            "SM_MODEL_DIR": str(weights),
            "PYTHONPATH": str(ASSETS),
            "OMP_NUM_THREADS": "1",
            "OPTION_ACCELERATION": "pytorch",
            "SERVING_BATCH_SIZE": str(BATCH),
            # A batch goes when it is full: no test waits for this, or depends on it.
            "SERVING_MAX_BATCH_DELAY": "600000",
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class Host:
    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        while process.poll() is None and not self._answers_ping():
            time.sleep(0.1)
        assert process.poll() is None, "\n".join(self.lines)

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as stdout:
            self.lines.extend(line.rstrip() for line in stdout)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        self._reader.join()

    def _answers_ping(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ping").status_code == 200
        except httpx.TransportError:
            return False  # the port is bound once the model is ready

    def send_together(self, bodies: list[dict[str, object]]) -> list[Any]:
        """One full batch, whatever the order in which it arrives."""
        assert len(bodies) == BATCH
        with ThreadPoolExecutor(BATCH) as pool:
            return list(pool.map(self._send, bodies))

    def _send(self, body: dict[str, object]) -> Any:
        reply = httpx.post(f"{self.url}/invocations", json=body, timeout=None)  # noqa: S113
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
        return reply.json()

    def batches(self) -> list[Any]:
        return [json.loads(line) for line in self.lines if line.startswith('{"event": "batch"')]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    weights = make_artifact(tmp_path_factory.mktemp("host") / "weights")
    process = start(ASSETS / "djl", weights, SAGEMAKER_BIND_TO_PORT=port)
    made = Host(process, f"http://127.0.0.1:{port}")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def alone() -> Engine:
    parts = load_diffusers(WEIGHTS, dtype=torch.float32, device=torch.device("cpu"))
    return Engine(parts, config())


def assert_as_alone(answer: Any, alone: Engine, **fields: object) -> None:
    (expected,) = alone.generate([request(**fields)])
    pictures = [base64.b64decode(image) for image in answer["images"]]
    assert answer["seeds"] == list(expected.seeds)
    for png, lone in zip(pictures, expected.images, strict=True):
        difference = np.abs(_pixels(png) - _pixels(lone)).max()
        print("largest difference to the lone twin, of 255:", difference)
        assert difference <= TOLERANCE


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png))).astype(int)


def test_eight_requests_are_one_batch_and_each_is_its_lone_twin(host: Host, alone: Engine) -> None:
    wanted: list[dict[str, object]] = [
        {"prompt": f"a red circle {i}", "seed": i, "guidance_scale": 4.0, "num_inference_steps": 5}
        for i in range(BATCH)
    ]
    before = len(host.batches())
    answers = host.send_together(wanted)
    for answer, fields in zip(answers, wanted, strict=True):
        assert_as_alone(answer, alone, **fields)
        assert answer["engine"]["batch"] == BATCH
        assert answer["engine"]["acceleration"] == "pytorch"
    (line,) = host.batches()[before:]
    assert (line["requests"], line["errors"]) == (BATCH, 0)
    assert [group["requests"] for group in line["groups"]] == [BATCH]
    assert f"DynamicBatchSize.Count/Item:{BATCH}|#Model:djl" in host.lines
    assert f"[METRICS]DenoiseBatchRequests.Count:{BATCH}|#Model:djl" in host.lines


def test_a_mixed_batch_is_grouped_and_its_bad_request_refused(host: Host, alone: Engine) -> None:
    common: dict[str, object] = {"prompt": "a blue square", "num_inference_steps": 3}
    guided = [{**common, "seed": seed, "guidance_scale": 4.0} for seed in range(4)]
    unguided = [{**common, "seed": seed, "guidance_scale": 1.0} for seed in range(2)]
    several = {**common, "seed": 2**32 - 1, "num_images": 2, "guidance_scale": 4.0}
    bad = {**common, "seed": -1}
    before = len(host.batches())
    answers = host.send_together([*guided, *unguided, several, bad])
    for answer, fields in zip(answers, [*guided, *unguided, several], strict=False):
        assert_as_alone(answer, alone, **fields)
    assert answers[-1]["error"]["param"] == "seed"
    (line,) = host.batches()[before:]
    sizes = {
        (group["guidance_scale"], group["requests"], group["images"]) for group in line["groups"]
    }
    assert sizes == {(4.0, 5, 6), (1.0, 2, 2)}


def last_words(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate()
    assert process.returncode == 1, output
    return output.splitlines()[-1]


def test_malformed_properties_are_fatal(tmp_path: Path) -> None:
    folder = tmp_path / "djl"
    shutil.copytree(ASSETS / "djl", folder)
    with (folder / "serving.properties").open("a") as file:
        file.write("option.acceleration\nbatch_size=many\n")
    assert last_words(start(folder, WEIGHTS)) == (
        "FATAL: serving.properties line 13: 'option.acceleration' is not key=value"
    )


def test_a_missing_model_index_is_fatal(tmp_path: Path) -> None:
    weights = make_artifact(tmp_path / "weights")
    (weights / "model_index.json").unlink()
    assert last_words(start(ASSETS / "djl", weights)) == (
        f"FATAL: {weights}/manifest.json: model_index.json is missing"
    )


def test_another_artifact_and_wrong_options_are_fatal(tmp_path: Path) -> None:
    weights = make_artifact(tmp_path / "weights")
    words = last_words(start(ASSETS / "djl", weights, SD_ARTIFACT_KEY="other"))
    assert words.endswith(f"key is {KEY!r}, this container wants 'other'")
    words = last_words(start(ASSETS / "djl", weights, OPTION_ACCELERATION="fast"))
    assert words.startswith("FATAL: option.acceleration='fast': one of deepspeed,")


def test_deepspeed_without_a_gpu_is_fatal(tmp_path: Path) -> None:
    weights = make_artifact(tmp_path / "weights")
    process = start(ASSETS / "djl", weights, OPTION_ACCELERATION="deepspeed", SD_DTYPE="float16")
    assert "need a CUDA device, and PyTorch sees none" in last_words(process)
