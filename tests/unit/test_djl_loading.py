from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from djl.batch_engine import BatchEngine
from djl.loading import Machine, load_engine
from djl.options import DjlOptions
from sd_contract.environment import ConfigError
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.errors import OutOfMemory
from sd_serving.model_unusable import ModelUnusable
from tests.fakes.deepspeed import DeepSpeedDouble
from tests.fakes.serving import FakeParts, LogDouble, config, make_artifact, request

CPU = torch.device("cpu")
CONFIG = config(SD_SIZES="64x64")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_artifact(tmp_path_factory.mktemp("djl") / "weights")


def no_deepspeed() -> Any:
    raise ImportError("No module named 'deepspeed'")


def load(
    folder: Path,
    acceleration: str,
    deepspeed: Callable[[], Any] = no_deepspeed,
    *,
    log: LogDouble | None = None,
    told: ServingConfig = CONFIG,
    runs_kernels: bool = True,
    cuda_graph: str = "false",
) -> BatchEngine:
    """On a machine whose kernels draw the size that is quick on a CPU."""
    machine = Machine(CPU, runs_kernels, deepspeed, lambda size: size == Size(64, 64))
    options = DjlOptions.from_properties(
        {
            "model_id": str(folder),
            "acceleration": acceleration,
            "enable_cuda_graph": cuda_graph,
        }
    )
    return load_engine(options, told, log or LogDouble(), machine)


def test_serves_on_deepspeed_in_float16(artifact: Path) -> None:
    engine = load(artifact, "deepspeed", DeepSpeedDouble)
    assert engine.parts.dtype_name == "float16"
    (answer,) = engine.generate([request()])
    assert (answer.engine["acceleration"], answer.engine["batch"]) == ("deepspeed", 1)


@pytest.mark.parametrize(
    ("deepspeed", "runs_kernels", "reason"),
    [
        (no_deepspeed, True, "No module named 'deepspeed'"),
        (DeepSpeedDouble, False, "PyTorch sees none"),
        (lambda: DeepSpeedDouble(skip_blocks=True), True, "kernels into 0 of"),
        (lambda: DeepSpeedDouble(fail_with=RuntimeError("nvcc")), True, "RuntimeError: nvcc"),
    ],
)
def test_never_falls_back_by_itself(
    artifact: Path, deepspeed: Callable[[], Any], runs_kernels: bool, reason: str
) -> None:
    with pytest.raises(ModelUnusable, match=reason):
        load(artifact, "deepspeed", deepspeed, runs_kernels=runs_kernels)


@pytest.mark.parametrize("size", ["64x64", "256x256", "512x256"])
def test_a_size_that_the_kernels_draw_wrong_is_refused_at_load(artifact: Path, size: str) -> None:
    real = Machine(CPU, True, DeepSpeedDouble)
    options = DjlOptions("deepspeed", False, 16, artifact)
    wanted = config(SD_SIZES=f"512x512,{size}")
    with pytest.raises(ModelUnusable, match=f"right for .*512x512.* SD_SIZES serves {size}; "):
        load_engine(options, wanted, LogDouble(), real)


EDIT = (1, 1.0)


@pytest.mark.parametrize(
    ("acceleration", "cuda_graph", "shapes"),
    [
        ("pytorch", "false", [(8, 7.5), (1, 7.5), (1, 1.0), EDIT]),
        ("deepspeed", "true", [(1, 7.5), (1, 1.0), EDIT]),
    ],
)
def test_the_first_call_of_the_kernels_is_the_largest(
    artifact: Path, acceleration: str, cuda_graph: str, shapes: list[tuple[int, float]]
) -> None:
    """DeepSpeed makes its workspace for it; and what lacks guidance has a shape of its own."""
    engine = load(artifact, acceleration, DeepSpeedDouble, cuda_graph=cuda_graph)
    assert [(group.images, group.guidance_scale) for group in engine.groups] == shapes
    assert {group.outcome for group in engine.groups} == {"ok"}


def test_plain_pytorch_doesn_t_touch_deepspeed(artifact: Path) -> None:
    engine = load(artifact, "pytorch")
    assert engine.parts.describe() == {"acceleration": "pytorch"}
    assert engine.parts.dtype_name == "float32"
    assert engine.parts.max_pictures_per_pass == 8


def test_a_largest_batch_that_memory_has_no_room_for_fails_the_load() -> None:
    engine = BatchEngine(FakeParts(max_pictures_per_pass=8, noise_of=out_of_memory), CONFIG)
    with pytest.raises(OutOfMemory):
        engine.warm_up()


def out_of_memory(noise: torch.Tensor) -> torch.Tensor:
    if len(noise) == 16:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")
    return noise


def test_falls_back_where_told_to_and_says_so(artifact: Path) -> None:
    log = LogDouble()
    broken = DeepSpeedDouble(fail_with=RuntimeError("nvcc"))
    engine = load(artifact, "deepspeed-or-pytorch", lambda: broken, log=log)
    (line,) = log.lines
    assert (line["event"], line["reason"]) == ("acceleration_fallback", "RuntimeError: nvcc")
    assert engine.parts.describe() == {
        "acceleration": "pytorch",
        "fallback_reason": "RuntimeError: nvcc",
    }
    # Read again: the first UNet was already taken apart.
    names = {type(module).__name__ for module in engine.parts.unet.modules()}  # type: ignore[attr-defined]
    assert "BasicTransformerBlock" in names


@pytest.mark.parametrize("acceleration", ["deepspeed", "deepspeed-or-pytorch"])
def test_deepspeed_s_kernels_are_float16(artifact: Path, acceleration: str) -> None:
    wrong = config(SD_DTYPE="float32")
    with pytest.raises(ConfigError, match="SD_DTYPE='float32': auto or float16"):
        load(artifact, acceleration, DeepSpeedDouble, told=wrong)


def test_refuses_what_the_import_would(tmp_path: Path) -> None:
    folder = make_artifact(tmp_path / "weights")
    config_json = folder / "unet" / "config.json"
    config_json.write_text(config_json.read_text().replace('"in_channels": 4', '"in_channels": 9'))
    with pytest.raises(ModelUnusable, match=r"unet/config\.json: in_channels is 9"):
        load(folder, "pytorch")
