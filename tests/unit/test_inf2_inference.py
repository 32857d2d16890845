"""Loading a compiled model, and drawing with it in pairs of rows."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from inf2.backends import backend
from inf2.compiled_parts import CompiledParts, SizedGraphs, load_parts
from inf2.inference import load
from inf2.parity import psnr_db
from sd_contract.invocation import Edit, Invocation
from sd_contract.size import Size
from sd_serving.diffusers_parts import load_diffusers
from sd_serving.engine import Engine
from sd_serving.model_unusable import ModelUnusable
from tests.fakes import serving as serving_fakes
from tests.fakes.compiled_model import SDK, SIZES, artifact, config
from tests.fakes.recolouring import recoloured
from tests.fakes.serving import WEIGHTS


def request(**changes: Any) -> Invocation:
    values = {"num_inference_steps": 2, "guidance_scale": 4.0, "seed": 11}
    return serving_fakes.request(**{**values, **changes})


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load(artifact(), config()), config())


def images(engine: Engine, *requests: Invocation) -> list[bytes]:
    return [image for result in engine.generate(requests) for image in result.images]


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_each_of_several_pictures_is_the_one_made_alone(
    engine: Engine, n: int, guidance: float
) -> None:
    together = images(engine, request(num_images=n, guidance_scale=guidance))
    alone = [images(engine, request(seed=11 + i, guidance_scale=guidance))[0] for i in range(n)]
    assert together == alone
    assert len({serving_fakes.pixels(png).tobytes() for png in together}) == n


def test_pictures_of_different_prompts_do_not_touch_each_other(engine: Engine) -> None:
    mine = request(prompt="a blue square", guidance_scale=1.0)
    assert images(engine, mine, request(guidance_scale=1.0))[0] == images(engine, mine)[0]


def test_every_compiled_size_is_served(engine: Engine) -> None:
    for size in SIZES:
        (png,) = images(engine, request(**vars(size)))
        assert Image.open(io.BytesIO(png)).size == (size.width, size.height)


def test_draws_what_eager_float32_draws(engine: Engine) -> None:
    eager = Engine(
        load_diffusers(WEIGHTS, dtype=torch.float32, device=torch.device("cpu")), config()
    )
    for seed, prompt in enumerate(("a red circle", "two white stars", "a green triangle")):
        asked = request(prompt=prompt, seed=seed, num_inference_steps=4)
        (compiled,), (wanted,) = images(engine, asked), images(eager, asked)
        assert psnr_db(compiled, wanted) >= 40


@pytest.mark.parametrize(("strength", "masked"), [(0.0, False), (0.75, False), (1.0, True)])
def test_edits_as_eager_float32_edits(engine: Engine, strength: float, masked: bool) -> None:
    parts = load_diffusers(WEIGHTS, dtype=torch.float32, device=torch.device("cpu"))
    eager = Engine(parts, config())
    for size in SIZES:
        (start,) = images(eager, request(**vars(size)))
        mask = serving_fakes.mask_file(size.width, size.height) if masked else None
        edit = Edit(start, mask, strength)
        asked = request(prompt="a blue square", num_inference_steps=4, edit=edit, **vars(size))
        (compiled,), (wanted,) = images(engine, asked), images(eager, asked)
        assert psnr_db(compiled, wanted) >= 40
        assert psnr_db(compiled, start) < 40


def test_a_red_circle_is_recoloured_within_its_mask(engine: Engine) -> None:
    assert recoloured(engine, 5, steps=10) == 5


def test_each_of_several_edits_is_the_one_made_alone(engine: Engine) -> None:
    edit = Edit(serving_fakes.picture_file(), strength=0.5)
    together = images(engine, request(num_images=3, edit=edit), request(edit=edit, seed=2))
    alone = [images(engine, request(seed=seed, edit=edit))[0] for seed in (11, 12, 13, 2)]
    assert together == alone


def test_describes_itself(engine: Engine) -> None:
    assert engine.parts.dtype_name == "float32"
    described = engine.parts.describe()
    assert described["neuron_sdk"] == SDK
    assert described["quality"]["parity"] == "passed"
    assert described["quality"]["pictures_db_min"] >= 40


def test_a_vae_that_doesn_t_say_its_scaling_has_the_libraries_own(tmp_path: Path) -> None:
    """Stable Diffusion 2's config.json is older than the setting."""
    folder = shutil.copytree(artifact(), tmp_path / "artifact")
    path = folder / "vae" / "config.json"
    known = json.loads(path.read_text())
    del known["scaling_factor"]
    path.write_text(json.dumps(known))
    parts = load_parts(folder, backend("torchscript"), SIZES[:1], "float32")
    assert parts.scaling_factor == AutoencoderKL.from_config(known).config.scaling_factor == 0.18215


# --- pairs -----------------------------------------------------------------------------------


class UnetDouble:
    """Twice the latents plus the embeddings' first value; takes 2 rows, and says so."""

    def __init__(self) -> None:
        self.pairs: list[list[float]] = []

    def __call__(
        self, latents: torch.Tensor, step: torch.Tensor, embeds: torch.Tensor
    ) -> torch.Tensor:
        assert len(latents) == len(step) == len(embeds) == 2
        assert latents.dtype == embeds.dtype == torch.bfloat16
        assert step.dtype == torch.float32
        self.pairs.append(latents[:, 0, 0, 0].tolist())
        return latents * 2 + embeds[:, :1, :1, None]


def parts_with(unet: Callable[..., torch.Tensor]) -> CompiledParts:
    def unused(*_: torch.Tensor) -> torch.Tensor:
        raise AssertionError("not for this test")

    return CompiledParts(
        tokenizer=None,  # type: ignore[arg-type]
        text_encoder=unused,
        graphs={Size(8, 8): SizedGraphs(unet, unused, unused, unused)},
        noise_schedule=None,  # type: ignore[arg-type]
        latent_channels=4,
        vae_scale=8,
        scaling_factor=1.0,
        device=torch.device("cpu"),
        dtype=torch.bfloat16,
        description={},
    )


@pytest.mark.parametrize(
    ("rows", "pairs"),
    [
        (1, [[0, 0]]),
        (2, [[0, 1]]),
        (3, [[0, 1], [2, 2]]),
        (6, [[0, 1], [2, 3], [4, 5]]),
    ],
)
def test_any_number_of_rows_is_cut_into_pairs(rows: int, pairs: list[list[float]]) -> None:
    unet = UnetDouble()
    latents = torch.arange(rows).view(-1, 1, 1, 1).expand(rows, 4, 1, 1).float()
    embeds = torch.arange(rows).view(-1, 1, 1).expand(rows, 77, 8).float() * 10
    noise = parts_with(unet).denoise(latents, 999, embeds)
    assert unet.pairs == pairs
    assert noise.dtype == torch.float32
    assert noise[:, 0, 0, 0].tolist() == [12 * row for row in range(rows)]


# --- refusals ----------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(artifact(), tmp_path / "model")
    return tmp_path / "model"


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads((folder / "manifest.json").read_bytes())
    change(document)
    (folder / "manifest.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"neuron_sdk": "2.27.0"}, "sdk is 2.26.0, SD_NEURON_SDK is 2.27.0"),
        ({"compile_backend": "neuronx"}, "backend is torchscript, SD_COMPILE_BACKEND is neuronx"),
        ({"dtype": "bfloat16"}, "dtype is float32, SD_DTYPE is bfloat16"),
        (
            {"sizes": (SIZES[0], Size(512, 512))},
            "sizes are 64x64, 128x64, SD_SIZES also has 512x512",
        ),
        ({"artifact_key": "other"}, "key is 'key-of-the-compiled-model', this container wants"),
    ],
)
def test_an_artifact_for_another_container_is_refused_by_name(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ModelUnusable, match=said):
        load(artifact(), config(**changes))


def test_everything_that_differs_is_named_at_once() -> None:
    with pytest.raises(ModelUnusable, match=r"sdk is .*; dtype is .*; sizes are "):
        load(artifact(), config(neuron_sdk="1.0.0", dtype="bfloat16", sizes=(Size(8, 8),)))


def test_a_changed_file_is_refused(copy: Path) -> None:
    file = copy / "unet" / "64x64" / "model.pt"
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(body)
    with pytest.raises(ModelUnusable, match=r"sha256 differs for unet/64x64/model\.pt$"):
        load(copy, config())


def test_a_manifest_without_a_field_is_refused(copy: Path) -> None:
    edit(copy, lambda document: document.pop("sdk"))
    with pytest.raises(ModelUnusable, match=r"TypeError: .*'sdk'"):
        load(copy, config())


def defer(document: dict[str, Any]) -> None:
    """As a compile without a device leaves it."""
    parity = document["parity"]
    parity["status"] = document["quality"]["parity"] = "deferred"
    for figures in [*parity["pictures"], *(c for cs in parity["graphs"].values() for c in cs)]:
        figures.update(dict.fromkeys({"found_db", "found_rms"} & figures.keys()))


def test_a_deferred_gate_is_passed_at_the_first_load_for_the_sizes_served(copy: Path) -> None:
    passed = load(copy, config()).describe()["quality"]
    edit(copy, defer)
    assert load(copy, config()).describe()["quality"] == passed
    assert load(copy, config(sizes=SIZES[1:])).describe()["quality"]["parity"] == "passed"


def test_a_deferred_gate_can_refuse_a_graph(copy: Path) -> None:
    edit(copy, defer)
    edit(copy, lambda document: _allow_nothing(document["parity"]["graphs"]["unet/128x64"]))
    with pytest.raises(ModelUnusable, match="unet/128x64 is wrong at 2 of 2 inputs, most at time"):
        load(copy, config())


def _allow_nothing(checks: list[dict[str, Any]]) -> None:
    for check in checks:
        check["allowed_rms"] = 1e-12


def test_a_deferred_gate_can_refuse_pictures(copy: Path) -> None:
    edit(copy, defer)
    edit(copy, lambda document: document["parity"]["bar"].update(parity_db=105.0))
    bar = r"below the bar of 105 dB that sd\.kinds\.neuron\.compile\.parity_db"
    with pytest.raises(ModelUnusable, match=bar):
        load(copy, config())


# --- PSNR --------------------------------------------------------------------------------------


def png(value: int, *, but: int = 0) -> bytes:
    pixels = np.full((8, 8, 3), value, dtype=np.uint8)
    pixels[0, 0, 0] += but
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("one", "other", "db"),
    [
        (png(7), png(7), 100.0),
        (png(0), png(255), 0.0),
        (png(100), png(110), 28.13),
        (png(100), png(100, but=10), 50.96),
    ],
)
def test_psnr(one: bytes, other: bytes, db: float) -> None:
    assert psnr_db(one, other) == db
