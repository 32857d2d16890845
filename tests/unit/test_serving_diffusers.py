"""The engine on the small model against diffusers' own pipeline."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sd_contract.invocation import Invocation
from sd_contract.model_layout import SCHEDULER_CONFIG
from sd_contract.model_layout import WEIGHTS as LAID_OUT
from sd_contract.sampling import Sampling
from sd_serving.diffusers_parts import DiffusersParts, load_diffusers
from sd_serving.engine import Engine
from sd_serving.model_unusable import ModelUnusable
from sd_serving.sampler import NoiseSchedule
from tests.fakes.model_layouts import (
    TURBO,
    V_PREDICTION_768,
    pipeline_of,
    scheduler_of_diffusers,
    with_scheduler,
)
from tests.fakes.serving import WEIGHTS, config, pixels, request

CPU = torch.device("cpu")


def load(folder: Path = WEIGHTS, **options: Any) -> DiffusersParts:
    return load_diffusers(folder, **{"dtype": torch.float32, "device": CPU, **options})


@pytest.fixture(scope="module")
def parts() -> DiffusersParts:
    return load()


@pytest.fixture(scope="module")
def engine(parts: DiffusersParts) -> Engine:
    return Engine(parts, config())


@pytest.fixture(scope="module")
def pipeline(parts: DiffusersParts) -> Any:
    return quiet_pipeline(parts)


def quiet_pipeline(parts: DiffusersParts, folder: Path = WEIGHTS) -> Any:
    made = pipeline_of(parts, scheduler_of_diffusers(folder))
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize(
    "asked",
    [
        request(num_inference_steps=20, guidance_scale=4.0),
        request(num_inference_steps=4, guidance_scale=7.5, negative_prompt="blue, dark", seed=5),
        request(num_inference_steps=1, guidance_scale=1.0),
        request(num_inference_steps=6, guidance_scale=1.0, height=128, width=64),
    ],
)
def test_draws_what_the_pipeline_of_diffusers_draws(
    engine: Engine, pipeline: Any, asked: Invocation
) -> None:
    assert_alike(engine, pipeline, asked)


@pytest.mark.parametrize(
    ("scheduler", "asked"),
    [
        (V_PREDICTION_768, request(num_inference_steps=20, guidance_scale=7.5)),
        (V_PREDICTION_768, request(num_inference_steps=3, guidance_scale=1.0, seed=5)),
        (TURBO, request(num_inference_steps=1, guidance_scale=1.0)),
        (TURBO, request(num_inference_steps=4, guidance_scale=1.0, seed=5)),
    ],
)
def test_draws_by_the_noise_schedule_of_other_models(
    tmp_path: Path, scheduler: dict[str, object], asked: Invocation
) -> None:
    """Of SD 2.1 at 768 pixels, and of few steps without guidance."""
    folder = with_scheduler(tmp_path / "model", **scheduler)
    parts = load(folder)
    engine = Engine(parts, config())
    assert_alike(engine, quiet_pipeline(parts, folder), asked)
    (again,) = Engine(load(tmp_path / "model"), config()).generate([asked])
    assert again.images == engine.generate([asked])[0].images


def assert_alike(engine: Engine, pipeline: Any, asked: Invocation) -> None:
    expected = pipeline(
        asked.prompt,
        negative_prompt=asked.negative_prompt,
        height=asked.size.height,
        width=asked.size.width,
        num_inference_steps=asked.num_inference_steps,
        guidance_scale=asked.guidance_scale,
        generator=torch.Generator().manual_seed(asked.seed),
        output_type="np",
    ).images[0]
    ours = pixels(engine.generate([asked])[0].images[0])
    # The pipeline runs its guidance rows and its decoder in the same shapes, so what is left is
    # the rounding of its own arithmetic: one level of 255 at most.
    assert np.abs(ours - expected * 255).max() <= 1


def test_an_image_of_n_is_bit_for_bit_the_one_made_alone(engine: Engine) -> None:
    (together,) = engine.generate([request(num_images=3, seed=11)])
    alone = [engine.generate([request(seed=seed)])[0].images[0] for seed in (11, 12, 13)]
    assert list(together.images) == alone
    assert len({pixels(png).tobytes() for png in alone}) == 3


def test_a_shared_pass_draws_the_same_within_rounding(engine: Engine) -> None:
    shared = Engine(load(max_pictures_per_pass=None), config())
    batch = [request(num_images=2), request(prompt="a green square", seed=3)]
    alone = [engine.generate([one])[0] for one in batch]
    for one, other in zip(shared.generate(batch), alone, strict=True):
        for ours, expected in zip(one.images, other.images, strict=True):
            assert np.abs(pixels(ours) - pixels(expected)).max() <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_computes_in_the_chosen_dtype_whatever_the_files_have(dtype: torch.dtype) -> None:
    assert load_file(WEIGHTS / LAID_OUT["unet"])["conv_in.weight"].dtype == torch.float16
    loaded = load(dtype=dtype)
    modules = (loaded.text_encoder, loaded.unet, loaded.vae)
    assert {p.dtype for module in modules for p in module.parameters()} == {dtype}
    assert not any(p.requires_grad for module in modules for p in module.parameters())
    assert not any(module.training for module in modules)
    assert loaded.dtype_name == str(dtype).removeprefix("torch.")


def test_channels_last_and_bfloat16_draw_nearly_the_same(engine: Engine) -> None:
    exact = pixels(engine.generate([request()])[0].images[0])
    for options, bound in (
        ({"channels_last": True}, 1.0),
        ({"dtype": torch.bfloat16}, 8.0),
    ):
        other = pixels(Engine(load(**options), config()).generate([request()])[0].images[0])
        assert np.abs(other - exact).mean() <= bound


def test_counts_tokens_of_the_whole_prompt_and_cuts_only_what_it_feeds(
    parts: DiffusersParts,
) -> None:
    long = "circle " * 100
    assert parts.count_tokens("a red circle") == 5
    assert parts.count_tokens(long) == 102
    assert parts.tokenizer.ids([long, "x"]).shape == (2, parts.tokenizer_max_length) == (2, 77)


def test_the_scheduler_is_dpm_solver_on_the_models_own_noise_schedule(
    parts: DiffusersParts,
) -> None:
    assert parts.noise_schedule == NoiseSchedule.read(WEIGHTS / SCHEDULER_CONFIG)
    sampler = parts.make_sampler(Sampling(25))
    assert sampler.timesteps[:3] == [999, 959, 919]
    assert parts.make_sampler(Sampling(25)) is not sampler


@pytest.mark.parametrize("weights", [LAID_OUT["text_encoder"], LAID_OUT["unet"]])
def test_refuses_weights_that_the_libraries_would_make_up(tmp_path: Path, weights: str) -> None:
    model = Path(shutil.copytree(WEIGHTS, tmp_path / "model"))
    state = load_file(model / weights)
    gone = sorted(key for key in state if key.endswith("weight"))[0]
    del state[gone]
    save_file(state, model / weights, metadata={"format": "pt"})
    with pytest.raises(ModelUnusable, match=weights) as caught:
        load(model)
    assert gone.removeprefix("text_model.") in str(caught.value)
