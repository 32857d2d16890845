"""The diffusers kind's levers, on the small model: what each leaves of the picture."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from g5.inference import load, load_with
from g5.levers import rows_of, with_cuda_graphs, with_torch_compile
from g5.options import LEVERS, ON_GPU_ALONE, DiffusersOptions
from sd_contract.environment import ConfigError
from sd_contract.sampling import Sampling
from sd_contract.size import Size
from sd_serving.diffusers_parts import DiffusersParts, fuse_qkv
from sd_serving.engine import Engine
from sd_serving.model_unusable import ModelUnusable
from tests.fakes.serving import (
    WEIGHTS,
    capture_on_a_cpu,
    config,
    make_artifact,
    pixels,
    request,
)

CPU = torch.device("cpu")
SIZES = (Size(64, 64), Size(64, 128))


def load_small(pictures: int = 1, **options: Any) -> DiffusersParts:
    return load_with(
        WEIGHTS,
        DiffusersOptions(**options),
        dtype=torch.float32,
        device=CPU,
        sizes=SIZES,
        max_pictures_per_pass=pictures,
    )


def drawn(parts: DiffusersParts, **changes: Any) -> np.ndarray:
    asked = request(num_inference_steps=4, **changes)
    return pixels(Engine(parts, config()).generate([asked])[0].images[0])


@pytest.fixture(scope="module")
def plain() -> DiffusersParts:
    return load_small()


def test_options_both_ways() -> None:
    none, all_ = DiffusersOptions(), DiffusersOptions(True, True, True, True, True, "float32")
    assert none.to_env() == {}
    assert all_.levers == LEVERS
    for options in (none, all_, DiffusersOptions(fused_qkv=True)):
        assert DiffusersOptions.from_env(options.to_env()) == options


def test_every_mistake_in_the_options_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        DiffusersOptions.from_env({"SD_LEVERS": "fused_qkv,xformers", "SD_VAE_DTYPE": "float8"})
    assert len(caught.value.problems) == 2
    assert "SD_LEVERS='fused_qkv,xformers': of channels_last, fused_qkv," in str(caught.value)


@pytest.mark.parametrize("lever", ON_GPU_ALONE)
def test_without_a_gpu_its_levers_are_refused_by_name(lever: str) -> None:
    with pytest.raises(ModelUnusable, match=f"SD_LEVERS={lever} needs a GPU"):
        load_small(**{lever: True})


def test_the_container_reads_its_levers_and_each_answer_says_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SD_LEVERS", "channels_last,fused_qkv")
    parts = load(make_artifact(tmp_path / "model"), config())
    (answer,) = Engine(parts, config()).generate([request(num_inference_steps=1)])
    assert answer.engine["levers"] == ("channels_last", "fused_qkv")


@pytest.mark.parametrize("lever", ["fused_qkv", "channels_last"])
def test_draws_the_same_within_rounding(plain: DiffusersParts, lever: str) -> None:
    parts = load_small(**{lever: True})
    for guidance in (7.5, 1.0):
        one, other = (drawn(each, guidance_scale=guidance) for each in (plain, parts))
        assert np.abs(one - other).max() <= 1


def test_the_vae_alone_may_compute_in_another_dtype(plain: DiffusersParts) -> None:
    parts = load_small(vae_dtype="bfloat16")
    assert {p.dtype for p in parts.vae.parameters()} == {torch.bfloat16}
    assert parts.dtype_name == "float32"
    error = np.abs(drawn(parts) - drawn(plain)).mean()
    assert 0 < error < 3


def test_fused_projections_are_held_once(plain: DiffusersParts) -> None:
    fused = load_small(fused_qkv=True)
    names = {name.rsplit(".", 1)[-1] for name, _ in fused.unet.named_modules()}
    assert {"to_qkv", "to_kv", "to_q"} <= names
    assert not {"to_k", "to_v"} & names
    assert {"to_k", "to_v"} <= {name.rsplit(".", 1)[-1] for name, _ in plain.unet.named_modules()}


def test_a_diffusers_that_cannot_fuse_is_named() -> None:
    with pytest.raises(ModelUnusable, match=r"diffusers \d.* can't fuse"):
        fuse_qkv(torch.nn.Linear(1, 1))


def test_a_shallow_step_runs_fused(plain: DiffusersParts) -> None:
    modes = {"standard": Sampling(4, deep_cache=2)}
    asked = request(num_inference_steps=4)
    one, other = (
        pixels(Engine(parts, replace(config(), modes=modes)).generate([asked])[0].images[0])
        for parts in (plain, load_small(fused_qkv=True))
    )
    assert np.abs(one - other).max() <= 1


def test_replayed_steps_draw_what_eager_ones_draw(plain: DiffusersParts) -> None:
    parts, shapes = load_small(), list[tuple[int, ...]]()
    with_cuda_graphs(parts, SIZES, capture_on_a_cpu(shapes))
    for changes in (
        {},
        {"seed": 8, "prompt": "a blue square"},
        {"guidance_scale": 1.0},
        {"height": 128},
        {"num_images": 2},
    ):
        assert np.array_equal(drawn(parts, **changes), drawn(plain, **changes)), changes
    # Each once, before the first picture, the largest first.
    assert shapes == [(2, 4, 16, 8), (1, 4, 16, 8), (2, 4, 8, 8), (1, 4, 8, 8)]


@torch.inference_mode()
def test_a_replayed_step_leaves_the_answers_before_it(plain: DiffusersParts) -> None:
    parts = load_small()
    with_cuda_graphs(parts, SIZES[:1], capture_on_a_cpu([]))
    latents, embeds = torch.randn(2, 4, 8, 8), torch.randn(2, 77, 64)
    first = parts.denoise(latents, 500, embeds)
    parts.denoise(latents + 1, 400, embeds)
    assert torch.equal(first, plain.denoise(latents, 500, embeds))


@torch.inference_mode()
def test_a_shape_that_was_not_captured_is_run_as_without(plain: DiffusersParts) -> None:
    parts, shapes = load_small(), list[tuple[int, ...]]()
    with_cuda_graphs(parts, SIZES[:1], capture_on_a_cpu(shapes))
    captured = len(shapes)
    latents, embeds = torch.randn(5, 4, 8, 8), torch.randn(5, 77, 64)
    assert torch.equal(parts.denoise(latents, 500, embeds), plain.denoise(latents, 500, embeds))
    assert len(shapes) == captured


def test_each_number_of_pictures_a_pass_is_captured_with_and_without_guidance() -> None:
    assert rows_of(load_small()) == [2, 1]
    assert rows_of(load_small(pictures=3)) == [6, 4, 3, 2, 1]


def test_shallow_steps_are_refused_where_the_unet_is_not_run_by_itself() -> None:
    parts = load_small()
    with_cuda_graphs(parts, SIZES[:1], capture_on_a_cpu([]))
    modes = {"standard": Sampling(4, deep_cache=2)}
    with pytest.raises(ModelUnusable, match="deep_cache of standard must be 1"):
        Engine(parts, replace(config(), modes=modes))


def test_a_unet_compiles_whole_and_draws_the_same() -> None:
    """One of few blocks by the tracer alone, as Inductor takes minutes: without a break, and once
    a shape."""
    traced: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        traced.append(graph)
        return graph.forward

    parts = load_small()
    parts.unet = few_blocks()
    plain = replace(parts, unet=copy.deepcopy(parts.unet))
    with_torch_compile(parts, SIZES[:1], backend=backend)
    assert len(traced) == 2
    for guidance in (7.5, 1.0):
        one, other = (drawn(each, guidance_scale=guidance) for each in (parts, plain))
        assert np.array_equal(one, other)
    assert len(traced) == 2


def few_blocks() -> Any:
    return UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        block_out_channels=(8,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        norm_num_groups=4,
        attention_head_dim=2,
        cross_attention_dim=64,
        use_linear_projection=True,
    ).eval()
