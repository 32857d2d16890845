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
from sd_serving.errors import OutOfMemory
from sd_serving.model_unusable import ModelUnusable
from tests.djl_fakes import DeepSpeedDouble, make_artifact
from tests.serving_fakes import FakeParts, LogDouble, config, request

CPU = torch.device("cpu")
CONFIG = config(SD_SIZES="64x64", SD_WARMUP_STEPS="1")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_artifact(tmp_path_factory.mktemp("djl") / "weights")


def options(folder: Path, acceleration: str, **changes: str) -> DjlOptions:
    return DjlOptions.from_properties(
        {"model_id": str(folder), "acceleration": acceleration, **changes}
    )


def machine(deepspeed: Callable[[], Any], *, runs_kernels: bool = True) -> Machine:
    """Its kernels draw the size that is quick on a CPU."""
    return Machine(CPU, runs_kernels, deepspeed, lambda size: size == Size(64, 64))


def no_deepspeed() -> Any:
    raise ImportError("No module named 'deepspeed'")


def test_serves_on_deepspeed_in_float16(artifact: Path) -> None:
    deepspeed = DeepSpeedDouble()
    engine = load_engine(
        options(artifact, "deepspeed"), CONFIG, LogDouble(), machine(lambda: deepspeed)
    )
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
    here = machine(deepspeed, runs_kernels=runs_kernels)
    with pytest.raises(ModelUnusable, match=reason):
        load_engine(options(artifact, "deepspeed"), CONFIG, LogDouble(), here)


@pytest.mark.parametrize("size", ["64x64", "256x256", "512x256"])
def test_a_size_that_the_kernels_draw_wrong_is_refused_at_load(artifact: Path, size: str) -> None:
    real = Machine(CPU, True, DeepSpeedDouble)
    wanted = config(SD_SIZES=f"512x512,{size}")
    with pytest.raises(ModelUnusable, match=f"right for .*512x512.* SD_SIZES serves {size}; "):
        load_engine(options(artifact, "deepspeed"), wanted, LogDouble(), real)


def test_the_first_call_of_the_kernels_is_the_largest(artifact: Path) -> None:
    """DeepSpeed makes its workspace for it; and what lacks guidance has a shape of its own."""
    engine = load_engine(options(artifact, "pytorch"), CONFIG, LogDouble(), machine(no_deepspeed))
    drawn = [(group.images, group.guidance_scale, group.outcome) for group in engine.groups]
    edit = (1, 1.0, "ok")
    assert drawn == [(8, 7.5, "ok"), (1, 7.5, "ok"), (1, 1.0, "ok"), edit]


def test_a_graph_of_one_image_is_warmed_up_with_one(artifact: Path) -> None:
    graphed = options(artifact, "deepspeed", enable_cuda_graph="true")
    engine = load_engine(graphed, CONFIG, LogDouble(), machine(DeepSpeedDouble))
    assert [(group.images, group.guidance_scale) for group in engine.groups] == [
        (1, 7.5),
        (1, 1.0),
        (1, 1.0),  # an edit
    ]


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
    engine = load_engine(
        options(artifact, "deepspeed-or-pytorch"), CONFIG, log, machine(lambda: broken)
    )
    (line,) = log.lines
    assert (line["event"], line["reason"]) == ("acceleration_fallback", "RuntimeError: nvcc")
    assert engine.parts.describe() == {
        "acceleration": "pytorch",
        "fallback_reason": "RuntimeError: nvcc",
    }
    # Read again: the first UNet was already taken apart.
    names = {type(module).__name__ for module in engine.parts.unet.modules()}  # type: ignore[attr-defined]
    assert "BasicTransformerBlock" in names


def test_plain_pytorch_doesn_t_touch_deepspeed(artifact: Path) -> None:
    engine = load_engine(options(artifact, "pytorch"), CONFIG, LogDouble(), machine(no_deepspeed))
    assert engine.parts.describe() == {"acceleration": "pytorch"}
    assert engine.parts.dtype_name == "float32"
    assert engine.parts.max_pictures_per_pass == 8


@pytest.mark.parametrize("acceleration", ["deepspeed", "deepspeed-or-pytorch"])
def test_deepspeed_s_kernels_are_float16(artifact: Path, acceleration: str) -> None:
    wrong = config(SD_DTYPE="float32")
    with pytest.raises(ConfigError, match="SD_DTYPE='float32': auto or float16"):
        load_engine(options(artifact, acceleration), wrong, LogDouble(), machine(DeepSpeedDouble))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("model_index.json", "model_index.json is missing"),
        ("manifest.json", "manifest.json is missing"),
        ("unet/diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors"),
    ],
)
def test_names_what_the_model_directory_lacks(tmp_path: Path, missing: str, message: str) -> None:
    folder = make_artifact(tmp_path / "weights")
    (folder / missing).unlink()
    with pytest.raises(ModelUnusable, match=message):
        load_engine(options(folder, "pytorch"), CONFIG, LogDouble(), machine(no_deepspeed))


def test_refuses_what_the_import_would(tmp_path: Path) -> None:
    folder = make_artifact(tmp_path / "weights")
    config_json = folder / "unet" / "config.json"
    config_json.write_text(config_json.read_text().replace('"in_channels": 4', '"in_channels": 9'))
    with pytest.raises(ModelUnusable, match=r"unet/config\.json: in_channels is 9"):
        load_engine(options(folder, "pytorch"), CONFIG, LogDouble(), machine(no_deepspeed))


def test_float16_on_a_cpu_is_a_missing_gpu(artifact: Path) -> None:
    with pytest.raises(ModelUnusable, match="needs a GPU"):
        load_engine(
            options(artifact, "pytorch"),
            config(SD_DTYPE="float16"),
            LogDouble(),
            machine(no_deepspeed, runs_kernels=False),
        )
