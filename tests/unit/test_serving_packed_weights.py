"""Packed weights against PyTorch's own layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from djl.loading import Machine, load_engine
from djl.options import PYTORCH, DjlOptions
from g5 import inference
from sd_serving.diffusers_parts import DiffusersParts, load_diffusers
from sd_serving.engine import Engine
from sd_serving.packed_weights import can_pack, pack
from tests.fakes.serving import WEIGHTS, LogDouble, config, make_artifact, pixels, request

CPU = torch.device("cpu")
needs_onednn = pytest.mark.skipif(
    not can_pack(CPU, torch.float32), reason="this machine's PyTorch has no oneDNN for x86"
)


def layers(network: torch.nn.Module) -> list[torch.nn.Module]:
    return [m for m in network.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]


def all_packed(parts: DiffusersParts) -> bool:
    found = [layer for n in (parts.unet, parts.vae, parts.text_encoder) for layer in layers(n)]
    assert len(found) > 100
    return all(layer.weight is None for layer in found)


@needs_onednn
@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Linear(24, 40),
        torch.nn.Linear(24, 40, bias=False),
        torch.nn.Conv2d(24, 40, 3, padding=1),
        torch.nn.Conv2d(24, 40, 3, stride=2, bias=False),
        torch.nn.Conv2d(24, 40, 1),
        torch.nn.Conv2d(24, 48, 3, padding=(2, 1), dilation=2, groups=4),
        torch.nn.Conv2d(24, 40, 3, padding=1, padding_mode="reflect"),
        torch.nn.Conv2d(24, 40, 3, padding="same"),
    ],
    ids=repr,
)
def test_a_packed_layer_computes_what_it_did(layer: torch.nn.Module) -> None:
    shape = (9, 24) if isinstance(layer, torch.nn.Linear) else (24, 9, 10)
    several = [torch.randn(rows, *shape) for rows in (1, 2, 7)]
    network = torch.nn.Sequential(layer)
    with torch.inference_mode():
        expected = [network(values) for values in several]
        pack(network)
        for values, wanted in zip(several, expected, strict=True):
            torch.testing.assert_close(network(values), wanted)


def test_layers_of_other_classes_stay_as_they_are() -> None:
    class Scaled(torch.nn.Linear):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(values)

    layer, values = Scaled(3, 5), torch.ones(1, 3)
    expected = layer(values)
    pack(torch.nn.Sequential(layer))
    assert torch.equal(layer(values), expected)


@needs_onednn
def test_draws_the_same_picture_as_unpacked() -> None:
    asked = request(num_inference_steps=10, guidance_scale=4.0)
    drawn = []
    for packed in (False, True):
        parts = load_diffusers(WEIGHTS, dtype=torch.float32, device=CPU, packed=packed)
        assert all_packed(parts) == packed
        (answer,) = Engine(parts, config()).generate([asked])
        drawn.append(pixels(answer.images[0]))
    assert np.abs(drawn[0] - drawn[1]).max() <= 1


@needs_onednn
def test_both_kinds_that_run_eagerly_serve_packed_weights(tmp_path: Path) -> None:
    folder = make_artifact(tmp_path / "model")
    assert all_packed(inference.load(folder, config()))
    machine = Machine(CPU, runs_kernels=False, import_deepspeed=lambda: None)
    options = DjlOptions(PYTORCH, cuda_graph=False, max_unet_rows=4, model_dir=folder)
    engine = load_engine(options, config(), LogDouble(), machine)
    assert isinstance(engine.parts, DiffusersParts)
    assert all_packed(engine.parts)


@pytest.mark.parametrize(
    ("device", "dtype"),
    [("cuda", torch.float32), ("cpu", torch.bfloat16), ("cpu", torch.float16)],
)
def test_what_was_not_measured_is_not_packed(device: str, dtype: torch.dtype) -> None:
    assert not can_pack(torch.device(device), dtype)
