"""The DJL variant on the local cloud: g5's pictures, batches that no answer shows, and a death."""

from __future__ import annotations

import json
from collections import Counter

import psutil
import pytest

from model_assets.tiny.picture_check import describe, expected
from sd_contract.sampling import MODES
from tests.fakes.local_account import log_lines
from tests.local.support import deploy, invoke_together, least_agreement_with_g5, wait_until
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
    logged = len(_batches(up))
    with capsys.disabled():
        together = invoke_together(up, "sd-djl")
    wait_until(lambda: sum(_batches(up)[logged:]) >= 2 * len(together))
    sizes = _batches(up)[logged + len(together) :]
    assert sum(sizes) == len(together)
    assert max(sizes) > 1
    # Log and answers tell the same.
    batched = Counter(answer["engine"]["batch"] for answer in together)
    assert batched == Counter(size for size in sizes for _ in range(size))


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
