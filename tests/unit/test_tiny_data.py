from itertools import islice

import numpy as np
import pytest
from PIL import Image, ImageFilter

from model_assets.tiny.data import (
    SIZE,
    Picture,
    combinations,
    draw,
    drawn_pool,
    held_out_combinations,
    held_out_prompts,
    training_combinations,
    training_prompts,
)
from model_assets.tiny.picture_check import NOTHING, UNKNOWN, describe, expected


def _noisy(picture: Picture, blur: float, noise: float, rng: np.random.Generator) -> Image.Image:
    drawn = Image.fromarray(draw(picture, rng)).filter(ImageFilter.GaussianBlur(blur))
    pixels = np.asarray(drawn) + rng.normal(0, noise, (SIZE, SIZE, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def test_the_same_seed_draws_the_same_pictures() -> None:
    first = drawn_pool(20, 5)
    np.testing.assert_array_equal(first, drawn_pool(20, 5))
    assert first.shape == (20, SIZE, SIZE, 3)
    assert not np.array_equal(first, drawn_pool(20, 6))


def test_held_out_combinations_never_occur_in_training() -> None:
    held_out = held_out_combinations()
    assert len(held_out) == 67
    assert held_out.isdisjoint(training_combinations())


def test_held_out_prompts_are_distinct_fixed_and_about_held_out_combinations() -> None:
    prompts = held_out_prompts()
    assert prompts == held_out_prompts()
    assert len(dict(prompts)) == 200
    assert {picture for _, picture in prompts} == held_out_combinations()


def test_every_prompt_says_what_it_is_meant_to() -> None:
    for text, picture in held_out_prompts():
        assert expected(text.capitalize()) == picture, text
    rng = np.random.default_rng(1)
    for picture in combinations():
        for text in islice(training_prompts(picture, rng), 20):
            assert expected(text) == picture, text


@pytest.mark.parametrize("prompt", ["", "a red dog", "a circle", "a red circle and a blue star"])
def test_a_prompt_without_one_shape_in_one_colour_is_refused(prompt: str) -> None:
    with pytest.raises(ValueError, match="not one shape in one colour"):
        expected(prompt)


@pytest.mark.parametrize(("blur", "noise"), [(0, 0), (1, 10), (2, 0), (0, 25)])
def test_drawn_pictures_are_recognized_though_blurred_or_noisy(blur: float, noise: float) -> None:
    rng = np.random.default_rng(77)  # no training stage draws from this seed
    right = [describe(_noisy(picture, blur, noise, rng)) == picture for picture in combinations()]
    assert np.mean(right) >= 0.99


@pytest.mark.parametrize("size", [32, 128, 256])
def test_the_size_does_not_matter(size: int) -> None:
    rng = np.random.default_rng(78)
    for picture in combinations()[::7]:
        image = Image.fromarray(draw(picture, rng)).resize((size, size), Image.Resampling.BICUBIC)
        assert describe(image) == picture


def test_an_empty_picture_shows_nothing() -> None:
    assert describe(Image.new("RGB", (SIZE, SIZE), "blue")) == Picture(NOTHING, "blue", "blue")


def test_noise_is_none_of_the_shapes() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    assert describe(Image.fromarray(pixels)).shape == UNKNOWN
