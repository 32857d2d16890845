"""The DJL variant on the local cloud: g5's pictures, batches that no answer shows, and a death."""

from __future__ import annotations

import base64
import io
import json
import statistics
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from model_assets.tiny.picture_check import describe, expected
from sd_contract.sampling import MODES
from tests.fakes.local_account import log_lines
from tests.local.support import TWENTY, deploy, least_agreement_with_g5, wait_until
from tests.local.up_cloud import UpCloud

pytestmark = pytest.mark.local

LOG = "/aws/sagemaker/Endpoints/sd-djl"
LEAST_DB = 40.0


@pytest.fixture(scope="module", autouse=True)
def deployed(up: UpCloud) -> None:
    deploy(up, "SdDjlStack")


def test_it_is_listed_with_its_engine(up: UpCloud) -> None:
    model = up.models()["djl"]
    assert model.engine == "djl-deepspeed"
    assert model.instance_type == "ml.g5.xlarge"


@pytest.mark.parametrize("quality", MODES)
def test_it_draws_the_pictures_of_g5(
    up: UpCloud, quality: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        assert least_agreement_with_g5(up, "djl", quality) >= LEAST_DB


def test_eight_at_once_are_batched_and_each_equals_its_lone_twin(
    up: UpCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    requests = [{"prompt": p.text, "seed": p.seed, "num_inference_steps": 10} for p in TWENTY[:8]]
    endpoint = up.client("sagemaker-runtime")

    def invoke(request: dict[str, Any]) -> dict[str, Any]:
        answer = endpoint.invoke_endpoint(
            EndpointName="sd-djl", Body=json.dumps(request), ContentType="application/json"
        )
        document: dict[str, Any] = json.loads(answer["Body"].read())
        return document

    alone = [invoke(request) for request in requests]
    logged = len(_batches(up))
    with ThreadPoolExecutor(len(requests)) as pool:
        together = list(pool.map(invoke, requests))
    wait_until(lambda: sum(_batches(up)[logged:]) >= len(requests))
    sizes = _batches(up)[logged:]

    off = [_most_off(*pair) for pair in zip(alone, together, strict=True)]
    with capsys.disabled():
        print(
            f"\neight at once on djl: batches of {sizes}; off their lone twins by at most "
            f"{max(off)} of 255 (median {statistics.median(off):g})"
        )
    assert {answer["engine"]["batch"] for answer in alone} == {1}
    assert sum(sizes) == len(requests)
    assert max(sizes) > 1
    # Log and answers tell the same.
    batched = Counter(answer["engine"]["batch"] for answer in together)
    assert batched == Counter(size for size in sizes for _ in range(size))
    assert max(off) <= 1


def _batches(up: UpCloud) -> list[int]:
    """Requests in each batch that the container has logged, oldest first."""
    said = [line.partition("[1,0]<stdout>:")[2] for line in log_lines(up, LOG)]
    return [
        group["requests"]
        for line in said
        if line.startswith('{"event": "batch"')
        for group in json.loads(line)["groups"]
        if group["outcome"] == "ok"
    ]


def test_the_djl_process_killed_and_the_endpoint_back_in_service(up: UpCloud) -> None:
    """Killed between two requests, which DJL itself never notices."""
    prompt = "a green triangle on a white background"
    killed = _python(up)
    killed.kill()
    wait_until(lambda: any("Container restarted" in line for line in log_lines(up, LOG)))
    wait_until(lambda: up.generate(model="djl", prompt=prompt, seed=3).status_code == 200)
    assert describe(up.pictures(model="djl", prompt=prompt, seed=3)[0]) == expected(prompt)
    assert _python(up).pid != killed.pid


def _python(up: UpCloud) -> psutil.Process:
    """The process behind DJL."""
    (found,) = [
        process
        for process in psutil.Process(up.pid).children(recursive=True)
        if "local_cloud.djl.engine" in process.cmdline()
    ]
    return found


def _most_off(one: dict[str, Any], other: dict[str, Any]) -> int:
    pixels = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["images"][0]))), dtype=int)
        for answer in (one, other)
    ]
    return int(np.abs(pixels[0] - pixels[1]).max())
