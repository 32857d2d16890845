"""The parity gate: rounding passes, a fault doesn't, and the figures say which is which."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import torch

from inf2.artifact import Bar, GraphCheck, Parity, ParityPicture, graph_path, parse_model
from inf2.backends import TorchScript
from inf2.compile import compile_model
from inf2.compiled_parts import CompiledParts, load_parts
from inf2.graphs.graph import Graph
from inf2.parity import (
    PROMPTS,
    RMS_FLOOR,
    ParityTooLow,
    allowed_rms,
    choose_pictures,
    quality,
    require_parity,
)
from inf2.part_store import PartStore
from inf2.parts import PARTS
from inf2.references import Bfloat16Products, measure
from sd_contract.manifest import Manifest
from tests.fakes.compiled_model import SIZES, artifact, in_bfloat16, job
from tests.fakes.serving import WEIGHTS

SIZE = SIZES[0]
Change = Callable[[torch.nn.Module], None]


def graph_of(name: str, dtype: str = "bfloat16") -> Graph:
    (part,) = (part for part in PARTS if part.name == name)
    return part.build(WEIGHTS, SIZE, dtype)


def parity_of(folder: Path) -> Parity:
    return parse_model(Manifest.from_json((folder / "manifest.json").read_bytes())).parity


def opposite(layer: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.neg_()


def layers(network: torch.nn.Module, *kinds: str) -> list[str]:
    return [name for name, _ in network.named_modules() if name.endswith(kinds)]


@pytest.fixture(scope="module")
def parts() -> CompiledParts:
    return load_parts(in_bfloat16(), TorchScript(), (SIZE,), "bfloat16")


# --- rounding ------------------------------------------------------------------------------------


def test_bfloat16_s_own_rounding_passes(capsys: pytest.CaptureFixture[str]) -> None:
    parity = parity_of(in_bfloat16())
    with capsys.disabled():
        print(f"\nbfloat16 of the small model: {quality(parity)}")
    assert parity.status == "passed"
    unet = [check for size in ("64x64", "128x64") for check in parity.graphs[f"unet/{size}"]]
    assert [check.input for check in unet[:5]] == [
        f"time step {t} of picture 0" for t in (999, 799, 599, 400, 200)
    ]
    # The bar is measured, and it is no luck to be below: eager and compiled lose the same.
    for check in unet:
        assert check.found_rms is not None
        assert check.allowed_rms == 1.5 * check.eager_rms > RMS_FLOOR["bfloat16"]
        assert 0.8 < check.found_rms / check.eager_rms < 1.3


def test_other_pictures_pass_as_well(parts: CompiledParts, tmp_path: Path) -> None:
    """Of other prompts and seeds than the gate's own, what the model doesn't know among them."""
    prompts = ("a purple heart", "kids playing soccer", "x", "a black cross on a green background")
    pictures = [
        replace(picture, prompt=prompts[i % 4], seed=picture.seed + 70)
        for i, picture in enumerate(choose_pictures(SIZES[:1]))
    ]
    parity = measure(WEIGHTS, tmp_path, pictures, Bar(None), "bfloat16", products_in_bfloat16=False)
    assert require_parity(parts, parity, tmp_path).status == "passed"


@pytest.mark.parametrize(
    ("eager", "dtype", "allowed"),
    [(0.01, "bfloat16", 0.015), (0.0, "bfloat16", 2**-8), (0.0, "float32", 1000 * 2**-24)],
)
def test_an_error_may_be_half_as_much_again_as_eager_s_and_no_less_than_rounding(
    eager: float, dtype: str, allowed: float
) -> None:
    assert allowed_rms(eager, dtype, Bar(None)) == pytest.approx(allowed)


def test_rounded_products_are_bfloat16_s_with_float32_sums() -> None:
    a, b = torch.randn(3, 500), torch.randn(4, 500)
    with Bfloat16Products():
        found = torch.nn.functional.linear(a, b)
    exact = a.bfloat16().double() @ b.bfloat16().double().T
    assert torch.equal(found, exact.bfloat16().float())


# --- faults --------------------------------------------------------------------------------------


def compile_with_a_fault(folder: Path, part: str, layer: str, fault: Change, dtype: str) -> None:
    """A compile that finds one of its graphs compiled already, wrongly."""
    graph = graph_of(part, dtype)
    fault(graph.network.get_submodule(layer))
    path = graph_path(part, None if part == "text_encoder" else SIZE)
    wanted = job(folder, dtype=dtype)
    PartStore(wanted.checkpoints).put(
        PurePosixPath(path),
        wanted.part_keys[part],
        lambda file: TorchScript().compile(graph, (), folder, file),
    )
    compile_model(wanted)


def scaled(factor: float) -> Change:
    def change(layer: torch.nn.Module) -> None:
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(factor)

    return change


@pytest.mark.parametrize(
    ("part", "layer", "fault", "dtype", "said"),
    [
        (
            "unet",
            "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0",
            opposite,
            "bfloat16",
            r"unet/64x64 is wrong at 2 of 2 inputs, most at time step \d+ of picture 0",
        ),
        (
            "unet",
            "unet.up_blocks.0.attentions.1.transformer_blocks.0.attn1.to_v",
            scaled(1.01),
            "float32",
            r"unet/64x64 is wrong at 2 of 2 inputs, most at time step \d+ of picture 0",
        ),
        (
            "text_encoder",
            "text_encoder.encoder.layers.0.self_attn.v_proj",
            opposite,
            "bfloat16",
            r"text_encoder is wrong at 3 of 3 inputs, most at the prompt '.*'",
        ),
        (
            "vae_decoder",
            "mid_block.attentions.0.to_v",
            scaled(1.01),
            "bfloat16",
            r"vae_decoder/64x64 is wrong at 2 of 2 inputs, most at the latents of picture \d",
        ),
        (
            "vae_encoder",
            "encoder.mid_block.attentions.0.to_v",
            scaled(1.1),
            "bfloat16",
            r"vae_encoder/64x64 is wrong at 2 of 2 inputs, most at picture \d",
        ),
        (
            "vae_post_quant_conv",
            "",
            scaled(1.001),
            "bfloat16",
            "vae_post_quant_conv/64x64 is wrong",
        ),
    ],
)
def test_a_graph_with_one_wrong_layer_fails_and_is_named(
    tmp_path: Path, part: str, layer: str, fault: Change, dtype: str, said: str
) -> None:
    figures = r".*: relative RMS error [\d.e-]+, allowed [\d.e-]+ \(1.5 times eager's [\d.e-]+"
    with pytest.raises(ParityTooLow, match=f"^parity: {said}{figures}"):
        compile_with_a_fault(tmp_path, part, layer, fault, dtype)
    assert not (tmp_path / "out" / "manifest.json").exists()


def with_unet(parts: CompiledParts, network: Callable[..., torch.Tensor]) -> CompiledParts:
    def pair(*inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat([network(*(value[i : i + 1] for value in inputs)) for i in (0, 1)])

    return replace(parts, graphs={SIZE: replace(parts.graphs[SIZE], unet=pair)})


def test_every_single_attention_layer_of_the_unet_counts(parts: CompiledParts) -> None:
    network = graph_of("unet").network
    parity = parity_of(in_bfloat16())
    require_parity(with_unet(parts, network), parity, in_bfloat16())
    names = layers(network, "attn1.to_out.0", "attn2.to_out.0")
    assert len(names) == 14
    for name in names:
        opposite(network.get_submodule(name))
        with pytest.raises(ParityTooLow, match=r"^parity: unet/64x64 is wrong at "):
            require_parity(with_unet(parts, network), parity, in_bfloat16())
        opposite(network.get_submodule(name))


def test_what_is_not_finite_fails(parts: CompiledParts) -> None:
    nowhere = with_unet(parts, lambda latents, *_: latents * torch.nan)
    with pytest.raises(ParityTooLow, match=r"unet/64x64 is wrong at 5 of 5 .* error nan"):
        require_parity(nowhere, parity_of(in_bfloat16()), in_bfloat16())


def test_good_graphs_put_together_wrongly_fail_by_their_pictures(parts: CompiledParts) -> None:
    wrong = replace(parts, scaling_factor=parts.scaling_factor * 3)
    with pytest.raises(ParityTooLow, match=r"the 64x64 pictures have [\d.]+ dB on average, which"):
        require_parity(wrong, parity_of(in_bfloat16()), in_bfloat16())


def test_a_good_encoder_given_the_wrong_range_fails_by_its_edits(parts: CompiledParts) -> None:
    class Wrong(CompiledParts):
        def encode_pictures(self, pixels: torch.Tensor) -> torch.Tensor:
            return super().encode_pictures(pixels / 2 + 0.5)

    with pytest.raises(ParityTooLow, match=r"the 64x64 edits have [\d.]+ dB on average, which"):
        require_parity(Wrong(**vars(parts)), parity_of(in_bfloat16()), in_bfloat16())


# --- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("eager", "least"),
    [
        ((27.9, 31.0), 24.9),
        ((16.0, 31.0), 15.0),  # the hard floor
        ((100.0, 100.0), 40.0),  # float32
    ],
)
def test_the_bar_for_pictures_is_3_db_below_eager_s_worst_between_15_and_40(
    eager: Sequence[float], least: float
) -> None:
    assert Bar(None).mean_db(eager) == pytest.approx(least)


def test_float32_is_held_against_itself() -> None:
    parity = parity_of(artifact())
    assert {picture.eager_db for picture in parity.pictures} == {100.0}
    allowed = {check.allowed_rms for checks in parity.graphs.values() for check in checks}
    assert allowed == {RMS_FLOOR["float32"]}


# --- what people see -----------------------------------------------------------------------------


def test_the_short_figures_are_flat_and_short() -> None:
    figures: dict[str, Any] = {}
    for found in (None, 0.123456789):
        checks = (GraphCheck("x", 0.111111111, 0.166666666, found),)
        graphs = {
            f"{part.name}/{size}": checks for part in PARTS for size in ("1024x1024", "768x768")
        }
        pictures = tuple(
            ParityPicture(prompt, 1, 7.5, 5, SIZE, "", 33.33, found and 100.0)
            for prompt, _ in PROMPTS
        )
        pictures += (replace(pictures[0], edited="parity/0.png"),)
        figures = quality(Parity("deferred", Bar(40.0), graphs, pictures))
        assert len(json.dumps(figures)) <= 600
        assert all(isinstance(value, str | float | None) for value in figures.values())
    assert figures["unet_rms_max"] == 0.123
    assert figures["unet_rms_ratio_max"] == 1.11
    assert figures["pictures_db_eager_min"] == 33.33
