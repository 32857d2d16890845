"""Edits: on the small model against diffusers' own pipelines, the rest on a double."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from sd_contract.invocation import Edit, Invocation, Refused
from sd_serving.diffusers_parts import DiffusersParts, load_diffusers
from sd_serving.edits import pixel_tensor, prepare
from sd_serving.engine import Engine, batch_key
from tests.fakes.model_layouts import scheduler_of_diffusers
from tests.fakes.recolouring import recoloured
from tests.fakes.serving import WEIGHTS, FakeParts, config, mask_file, picture_file, pixels, request

Box = tuple[int, int, int, int]

BLUE = "a blue circle on a white background"
UNALIGNED = (10, 5, 47, 41)
ALIGNED = (8, 16, 48, 64)
"""Left, upper, right, lower: at the latents' borders."""


@cache
def parts() -> DiffusersParts:
    return load_diffusers(WEIGHTS, dtype=torch.float32, device=torch.device("cpu"))


@cache
def engine() -> Engine:
    return Engine(parts(), config())


@cache
def circle() -> bytes:
    """A red one, by the model itself."""
    asked = request(
        prompt="a red circle on a white background", num_inference_steps=8, guidance_scale=4.0
    )
    return engine().generate([asked])[0].images[0]


def edit(strength: float, box: Box | None = None, **more: Any) -> Invocation:
    edited = Edit(circle(), box and mask_file(box=box), strength)
    values = {"prompt": BLUE, "num_inference_steps": 5, "guidance_scale": 4.0, **more}
    return request(edit=edited, **values)


def drawn(asked: Invocation, by: Engine | None = None) -> np.ndarray:
    (answer,) = (by or engine()).generate([asked])
    return pixels(answer.images[0])


def source() -> np.ndarray:
    return pixels(circle())


def start_latents(parts: DiffusersParts) -> torch.Tensor:
    encoded = parts.encode_pictures(pixel_tensor(source().astype(np.uint8))[None])
    return encoded * parts.scaling_factor


def pipeline(name: str) -> Any:
    import diffusers

    made = getattr(diffusers, name)(
        vae=parts().vae,
        text_encoder=parts().text_encoder,
        tokenizer=parts().tokenizer._tokenizer,
        unet=parts().unet,
        scheduler=scheduler_of_diffusers(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def expected(name: str, asked: Invocation, **more: Any) -> np.ndarray:
    """Given latents to start from: from pixels the pipeline would draw them, not take the mode."""
    assert asked.strength is not None
    picture: np.ndarray = pipeline(name)(
        asked.prompt,
        negative_prompt=asked.negative_prompt,
        image=start_latents(parts()),
        strength=asked.strength,
        num_inference_steps=asked.num_inference_steps,
        guidance_scale=asked.guidance_scale,
        generator=torch.Generator().manual_seed(asked.seed),
        output_type="np",
        **more,
    ).images[0]
    return picture * 255


@pytest.mark.parametrize(
    "asked",
    [
        lambda: edit(0.75, num_inference_steps=8),
        lambda: edit(0.6, num_inference_steps=20, negative_prompt="red, dark", seed=2**32 - 1),
        lambda: edit(0.3, guidance_scale=1.0),
        lambda: edit(0.2),  # one step
    ],
)
def test_an_edit_is_what_the_pipeline_of_diffusers_makes_of_it(asked: Any) -> None:
    ours = drawn(asked())
    assert np.abs(ours - expected("StableDiffusionImg2ImgPipeline", asked())).max() <= 1
    assert np.abs(ours - source()).mean() > 1, "nothing was drawn"


@pytest.mark.parametrize(("strength", "steps"), [(0.75, 8), (0.4, 5), (1.0, 4)])
def test_inside_a_mask_it_is_what_the_inpainting_pipeline_makes_of_it(
    strength: float, steps: int
) -> None:
    asked = edit(strength, ALIGNED, num_inference_steps=steps)
    left, upper, right, lower = ALIGNED
    white = torch.zeros(1, 1, 64, 64)
    white[..., upper:lower, left:right] = 1
    wanted = expected(
        "StableDiffusionInpaintPipeline",
        asked,
        mask_image=white,
        masked_image_latents=start_latents(parts()),
        height=64,
        width=64,
    )
    inside = (slice(upper, lower), slice(left, right))
    ours = drawn(asked)
    assert np.abs(ours[inside] - wanted[inside]).max() <= 1
    assert np.abs(ours - source())[inside].mean() > 1, "nothing was drawn"


@pytest.mark.parametrize("box", [ALIGNED, UNALIGNED, (0, 0, 1, 1), (0, 0, 64, 64)])
def test_what_is_outside_the_mask_stays_to_the_pixel(box: Box) -> None:
    left, upper, right, lower = box
    changed = np.abs(drawn(edit(0.9, box)) - source()).sum(axis=2)
    inside = changed[upper:lower, left:right].copy()
    changed[upper:lower, left:right] = 0
    assert not changed.any()
    assert inside.mean() > 1


def test_a_mask_smaller_than_a_latent_is_drawn_too() -> None:
    """The pipeline of diffusers would look past it."""
    assert np.abs(drawn(edit(1.0, (3, 3, 7, 7), seed=3)) - source()).sum() > 0


def test_at_strength_1_it_is_the_generation_from_the_same_seed() -> None:
    for seed in (0, 2**32 - 1):
        plain = request(prompt=BLUE, num_inference_steps=5, guidance_scale=4.0, seed=seed)
        assert np.array_equal(drawn(edit(1.0, seed=seed)), drawn(plain))


def test_at_strength_0_it_is_the_picture_through_the_vae() -> None:
    with torch.inference_mode():
        through = parts().decode(start_latents(parts()) / parts().scaling_factor)[0]
    wanted = ((through / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    (answer,) = engine().generate([edit(0.0)])
    assert np.array_equal(pixels(answer.images[0]), wanted)
    assert answer.warnings == ("strength: 0 of 5 steps is none; prompt and seed have no effect.",)


def test_the_same_edit_gives_the_same_bytes_from_a_fresh_load() -> None:
    fresh = load_diffusers(WEIGHTS, dtype=torch.float32, device=torch.device("cpu"))
    (again,) = Engine(fresh, config()).generate([edit(0.6)])
    assert again.images == engine().generate([edit(0.6)])[0].images


def test_an_image_of_n_edits_is_bit_for_bit_the_one_made_alone() -> None:
    (together,) = engine().generate([edit(0.8, ALIGNED, num_images=2, seed=11)])
    alone = [engine().generate([edit(0.8, ALIGNED, seed=seed)])[0].images[0] for seed in (11, 12)]
    assert list(together.images) == alone
    assert len({pixels(png).tobytes() for png in alone}) == 2


def test_edits_of_one_kind_share_a_batch_masked_or_not() -> None:
    """Each starts from its own picture and keeps what its own mask says."""
    together = Engine(
        load_diffusers(
            WEIGHTS,
            dtype=torch.float32,
            device=torch.device("cpu"),
            max_pictures_per_pass=None,
        ),
        config(),
    )
    batch = [
        edit(0.8),
        edit(0.8, UNALIGNED, seed=5),
        request(
            prompt="a green square",
            num_inference_steps=5,
            guidance_scale=4.0,
            edit=Edit(picture_file(grey=60), mask_file(box=ALIGNED), 0.8),
        ),
    ]
    answers = together.generate(batch)
    assert [answer.images_in_batch for answer in answers] == [3, 3, 3]
    for answer, asked in zip(answers, batch, strict=True):
        assert np.abs(pixels(answer.images[0]) - drawn(asked)).max() <= 1


def test_edits_batch_with_edits_of_their_strength_alone() -> None:
    plain, low, high = (
        batch_key(request(**more))
        for more in ({}, {"edit": Edit(b"", strength=0.2)}, {"edit": Edit(b"")})
    )
    assert len({plain, low, high}) == 3
    assert high == batch_key(request(edit=Edit(b"other", b"mask"), prompt="y", seed=9))


def test_a_picture_is_encoded_once_for_all_of_its_edits() -> None:
    double = FakeParts(max_pictures_per_pass=None)
    edited = Edit(picture_file(), strength=0.7)
    (answer,) = Engine(double, config()).generate([request(edit=edited, num_images=4)])
    (encoded,) = double.encode_pictures_calls
    assert encoded.shape == (1, 3, 64, 64)
    assert answer.timings_ms["vae_encode"] > 0


def test_generations_encode_no_picture() -> None:
    double = FakeParts()
    (answer,) = Engine(double, config()).generate([request()])
    assert double.encode_pictures_calls == []
    assert answer.timings_ms["vae_encode"] == 0


def test_only_the_last_steps_are_run() -> None:
    double = FakeParts()
    asked = request(num_inference_steps=10, edit=Edit(picture_file(), strength=0.35))
    (answer,) = Engine(double, config()).generate([asked])
    assert len(double.denoise_calls) == asked.steps_run == 3
    assert answer.engine["steps"] == 10


def test_warm_up_encodes_a_picture_of_every_size() -> None:
    double = FakeParts()
    Engine(double, config()).warm_up()
    assert [tuple(each.shape[2:]) for each in double.encode_pictures_calls] == [(64, 64), (128, 64)]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_what_was_changed_of_the_picture_is_a_warning(kind: str) -> None:
    edited = Edit(picture_file(100, 64, kind=kind))
    (answer,) = Engine(FakeParts(), config()).generate([request(edit=edited)])
    assert answer.warnings == ("image: centre-cropped from 100x64 to 64x64.",)


def test_a_bad_picture_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(Refused, match="image: must be a PNG, JPEG or WebP file"):
        prepare(request(edit=Edit(b"x")))


def test_a_red_circle_is_recoloured_within_its_mask() -> None:
    assert recoloured(engine(), 5, steps=10) == 5
