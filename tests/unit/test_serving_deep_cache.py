"""Steps that take over the deep blocks of an earlier one, on the small model's UNet."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sd_contract.sampling import Sampling
from sd_serving.deep_cache import DeepHalf
from sd_serving.diffusers_parts import DiffusersParts, load_diffusers
from sd_serving.engine import Engine
from tests.fakes.serving import WEIGHTS, config, pixels, request


@pytest.fixture(scope="module")
def parts() -> DiffusersParts:
    return load_diffusers(WEIGHTS, dtype=torch.float32, device=torch.device("cpu"))


@pytest.fixture
def given() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 77, 64, generator=generator)


@torch.inference_mode()
def test_a_full_step_is_the_unet_s_own(parts: DiffusersParts, given: Any) -> None:
    latents, embeds = given
    assert torch.equal(
        parts.denoise(latents, 500, embeds, DeepHalf()), parts.denoise(latents, 500, embeds)
    )


@torch.inference_mode()
def test_a_shallow_step_with_the_deep_half_of_the_same_step_is_the_full_one(
    parts: DiffusersParts, given: Any
) -> None:
    """So nothing is left out but the deep blocks."""
    latents, embeds = given
    deep = DeepHalf()
    full = parts.denoise(latents, 500, embeds, deep)
    deep.full = False
    assert torch.allclose(parts.denoise(latents, 500, embeds, deep), full, atol=1e-5)
    other = parts.denoise(latents, 480, embeds, deep)
    assert not torch.allclose(other, full, atol=1e-3), "the time step has no effect"
    assert not torch.allclose(other, parts.denoise(latents, 480, embeds), atol=1e-5)


@torch.inference_mode()
def test_a_shallow_step_runs_no_deep_block(parts: DiffusersParts, given: Any) -> None:
    latents, embeds = given
    deep = DeepHalf()
    parts.denoise(latents, 500, embeds, deep)
    deep.full = False
    ran: list[str] = []
    unet = parts.unet
    blocks = {
        "mid": unet.mid_block,
        **{f"down{number}": block for number, block in enumerate(unet.down_blocks)},
        **{f"up{number}": block for number, block in enumerate(unet.up_blocks)},
    }
    hooks = [
        block.register_forward_pre_hook(lambda *_, name=name: ran.append(name))
        for name, block in blocks.items()
    ]
    try:
        parts.denoise(latents, 480, embeds, deep)
    finally:
        for hook in hooks:
            hook.remove()
    assert ran == ["down0", f"up{len(unet.up_blocks) - 1}"]


@torch.inference_mode()
def test_a_shallow_step_without_a_full_one_of_its_rows_is_refused(
    parts: DiffusersParts, given: Any
) -> None:
    latents, embeds = given
    deep = DeepHalf()
    deep.full = False
    with pytest.raises(RuntimeError, match="after a full one"):
        parts.denoise(latents, 500, embeds, deep)
    deep.full = True
    parts.denoise(latents, 500, embeds, deep)
    deep.full = False
    with pytest.raises(RuntimeError, match="as many rows"):
        parts.denoise(latents[:1], 500, embeds[:1], deep)


def test_a_picture_of_every_second_step_is_nearly_that_of_all(parts: DiffusersParts) -> None:
    def drawn(deep_cache: int) -> np.ndarray:
        modes = {"standard": Sampling(15, "karras", deep_cache=deep_cache)}
        asked = request(num_inference_steps=15, guidance_scale=4.0)
        (answer,) = Engine(parts, replace(config(), modes=modes)).generate([asked])
        return pixels(answer.images[0])

    error = np.abs(drawn(2) - drawn(1)).mean()
    assert 0 < error < 5
    assert np.abs(drawn(10) - drawn(1)).mean() > error
