"""The way into DeepSpeed, against a double of it: no GPU has run this."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from djl.deepspeed_engine import (
    GraphedTextEncoder,
    GraphedUNet,
    GraphedVae,
    InjectionTarget,
    accelerate,
    check_sizes,
)
from djl.sizes import FITTING, attention_fits
from sd_contract.invocation import Edit
from sd_contract.size import Size
from sd_serving.diffusers_parts import DiffusersParts, load_diffusers
from sd_serving.engine import Engine
from sd_serving.model_unusable import ModelUnusable
from tests.fakes.deepspeed import DeepSpeedDouble, Graph
from tests.fakes.recolouring import recoloured
from tests.fakes.serving import WEIGHTS, config, picture_file, pixels, request

REQUESTS = [
    request(prompt="a red circle", guidance_scale=4.0, seed=1),
    request(prompt="a blue square", guidance_scale=1.0, seed=2),
    request(prompt="a green triangle", negative_prompt="red", num_images=2, seed=3),
    request(prompt="a red circle", guidance_scale=4.0, seed=1),
    request(prompt="a red circle", edit=Edit(picture_file(grey=90), strength=0.7)),
    request(prompt="a red circle", edit=Edit(picture_file(grey=200), strength=0.7)),
]


def load() -> DiffusersParts:
    return load_diffusers(WEIGHTS, dtype=torch.float32, device=torch.device("cpu"))


def accelerated(*, cuda_graph: bool) -> tuple[DiffusersParts, DeepSpeedDouble]:
    deepspeed = DeepSpeedDouble()
    return accelerate(load(), deepspeed, cuda_graph=cuda_graph), deepspeed


def pictures(parts: DiffusersParts) -> list[np.ndarray]:
    engine = Engine(parts, config())
    return [pixels(png) for each in REQUESTS for png in engine.generate([each])[0].images]


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_init_inference_gets_these_arguments(cuda_graph: bool) -> None:
    _, deepspeed = accelerated(cuda_graph=cuda_graph)
    assert deepspeed.calls == [
        ("init_distributed", {}),
        (
            "init_inference",
            {
                "dtype": torch.float16,
                "tensor_parallel": {"tp_size": 1},
                "replace_with_kernel_inject": True,
                "enable_cuda_graph": cuda_graph,
            },
        ),
    ]
    (target,) = deepspeed.targets
    # DeepSpeed takes another road for an nn.Module, one without Stable Diffusion.
    assert isinstance(target, InjectionTarget)
    assert not isinstance(target, torch.nn.Module)


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_draws_the_same_pictures_through_deepspeed_s_wrappers(cuda_graph: bool) -> None:
    parts, _ = accelerated(cuda_graph=cuda_graph)
    assert parts.describe() == {
        "acceleration": "deepspeed",
        "deepspeed": "0.12.6",
        "cuda_graph": cuda_graph,
    }
    for drawn, expected in zip(pictures(parts), pictures(load()), strict=True):
        # One row more in the UNet's batch rounds differently; a mixed-up graph is far off.
        assert np.abs(drawn - expected).max() <= 1


def test_a_red_circle_is_recoloured_within_its_mask() -> None:
    parts, _ = accelerated(cuda_graph=True)
    assert recoloured(Engine(parts, config()), 5, steps=10) == 5


def test_refuses_a_model_whose_blocks_deepspeed_left_alone() -> None:
    with pytest.raises(ModelUnusable, match=r"kernels into 0 of \d+ transformer blocks"):
        accelerate(load(), DeepSpeedDouble(skip_blocks=True), cuda_graph=False)


SIDES = range(64, 1025, 64)


def fills_the_blocks_of_every_level(size: Size) -> bool:
    """As diffusers_attention.py of DeepSpeed 0.12.6 calls its kernel: blocks of 128 where those
    divide the positions, else of 64; the workspace holds 4096 of them."""
    levels = [size.height // scale * (size.width // scale) for scale in (8, 16, 32, 64)]
    return levels[0] <= 4096 and not any(
        positions % (128 if positions % 128 == 0 else 64) for positions in levels
    )


def test_sizes_that_don_t_fill_the_attention_s_blocks_don_t_fit() -> None:
    sizes = [Size(width, height) for width in SIDES for height in SIDES]
    fitting = [size for size in sizes if attention_fits(size)]
    assert fitting == [size for size in sizes if fills_the_blocks_of_every_level(size)]
    assert [str(size) for size in fitting] == [*FITTING] == ["256x1024", "512x512", "1024x256"]
    # A size needn't be what the settings allow.
    assert not attention_fits(Size(520, 504))


def test_refuses_a_second_size_with_a_graph() -> None:
    square, wide = Size(512, 512), Size(1024, 256)
    check_sizes((square,), attention_fits, cuda_graph=True)
    check_sizes((square, wide), attention_fits, cuda_graph=False)
    with pytest.raises(ModelUnusable, match="takes one size"):
        check_sizes((square, wide), attention_fits, cuda_graph=True)


def test_a_graphed_unet_keeps_its_callers_apart() -> None:
    def network(
        x: torch.Tensor,
        t: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        return_dict: bool,
    ) -> tuple[torch.Tensor]:
        assert not return_dict
        return (x * t + encoder_hidden_states[:, :1, :1, None],)

    double: Any = Graph(network)
    double.config = None
    unet = GraphedUNet(double)
    calls = [
        (torch.randn(rows, 4, 2, 2), torch.tensor([t]), torch.randn(rows, 3, 5))
        for rows, t in [(2, 7), (2, 900), (1, 3), (2, 1)]
    ]
    sent = [[tensor.clone() for tensor in call] for call in calls]
    answers = [unet(x, t, encoder_hidden_states=embeds)[0] for x, t, embeds in calls]
    for call, before, answer in zip(calls, sent, answers, strict=True):
        # What the caller holds isn't what the graph writes to, and its answer stays its own.
        assert all(torch.equal(*pair) for pair in zip(call, before, strict=True))
        assert torch.allclose(
            answer, network(before[0], before[1], before[2], return_dict=False)[0]
        )


def test_graphed_encoder_and_vae_keep_their_callers_apart() -> None:
    def decode(latents: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        assert not return_dict
        return (latents * 2,)

    encoder = GraphedTextEncoder(Graph(lambda ids: (ids * 2,)))
    plain = SimpleNamespace(encode=None)
    vae = GraphedVae(SimpleNamespace(config=None, decode=Graph(decode)), plain)
    inputs = [torch.tensor([[1, 2]]), torch.tensor([[3, 4]])]
    for function in (encoder, vae.decode):
        answers = [function(each)[0] for each in inputs]
        assert [each.tolist() for each in inputs] == [[[1, 2]], [[3, 4]]]
        assert [each.tolist() for each in answers] == [[[2, 4]], [[6, 8]]]
