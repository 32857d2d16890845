from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from g5.inference import load
from sd_contract.environment import Batching
from sd_serving.diffusers_parts import choose_dtype
from sd_serving.engine import Engine
from sd_serving.model_unusable import ModelUnusable
from tests.fakes.serving import ASSETS, config, make_artifact, request


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_artifact(tmp_path / "model")


def test_serves_an_artifact(model: Path) -> None:
    parts = load(model, config())
    assert parts.max_pictures_per_pass == 1
    assert parts.dtype_name == "float32" or parts.device.type == "cuda"
    (result,) = Engine(parts, config()).generate([request(num_inference_steps=1)])
    assert result.images[0].startswith(b"\x89PNG")


def test_as_many_pictures_go_through_the_networks_as_requests_are_taken_together(
    model: Path,
) -> None:
    told = config(**Batching(4, 100).to_env())
    assert load(model, told).max_pictures_per_pass == 4


def test_refuses_another_artifact(model: Path) -> None:
    with pytest.raises(ModelUnusable, match="this container wants 'new'"):
        load(model, config(SD_ARTIFACT_KEY="new"))


def test_refuses_what_the_import_would(model: Path) -> None:
    vocabulary = model / "tokenizer" / "vocab.json"
    vocabulary.write_text(vocabulary.read_text().replace("49407}", "99999}"))
    with pytest.raises(ModelUnusable, match=r"tokenizer/vocab\.json has ids up to 99999"):
        load(model, config())


@pytest.mark.parametrize(
    ("name", "device", "dtype"),
    [
        ("auto", "cuda", torch.float16),
        ("auto", "cpu", torch.float32),
        ("float32", "cuda", torch.float32),
        ("bfloat16", "cpu", torch.bfloat16),
        ("float16", "cuda", torch.float16),
    ],
)
def test_dtypes(name: str, device: str, dtype: torch.dtype) -> None:
    assert choose_dtype(name, torch.device(device)) == dtype


def test_float16_without_a_gpu_is_refused_not_served_slowly() -> None:
    with pytest.raises(ModelUnusable, match="needs a GPU"):
        choose_dtype("float16", torch.device("cpu"))


def test_the_image_pins_the_server_that_these_tests_run() -> None:
    lines = (ASSETS / "g5" / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {"starlette", "uvicorn", "anyio", "h11", "click"} == set(pins)
    assert pins == {name: version(name) for name in pins}
