"""Requests that can't be done in time are refused with what would fit, and that then does fit."""

import re

import pytest

from front_door.errors import InvalidRequest
from front_door.generation import GenerationRequest
from front_door.time_limit import check_time, estimate_s
from front_door.variants import Size
from tests.unit.front_door_fakes import generation_request, variant

LIMIT_S = 26.0
SQUARE = Size(512, 512)


def request(n: int, steps: int, seconds_per_step: float, size: Size = SQUARE) -> GenerationRequest:
    return generation_request(
        variant=variant(seconds_per_step=seconds_per_step),
        seeds=tuple(range(n)),
        num_inference_steps=steps,
        size=size,
    )


def test_the_estimate_scales_with_images_steps_and_pixels() -> None:
    assert estimate_s(request(1, 25, 0.1)) == pytest.approx(2.5)
    assert estimate_s(request(4, 25, 0.1)) == pytest.approx(10)
    assert estimate_s(request(1, 50, 0.1)) == pytest.approx(5)
    assert estimate_s(request(1, 25, 0.1, Size(1024, 512))) == pytest.approx(5)


def test_what_just_fits_passes() -> None:
    check_time(request(1, 100, 0.26), LIMIT_S)
    check_time(request(4, 65, 0.1), LIMIT_S)


def test_the_refusal_names_the_fields_and_what_fits() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_time(request(4, 100, 0.1564), LIMIT_S)
    assert str(caught.value) == (
        "n, num_inference_steps, size: n=4 images of 512x512 with 100 steps each would take about "
        "63 s on model 'g5', and 26 s are available. What fits: with n=4, up to 41 "
        "num_inference_steps; or with num_inference_steps=100, n up to 1"
    )
    assert (caught.value.param, caught.value.code) == ("num_inference_steps", "too_slow")


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("steps", [1, 25, 50, 99, 100])
@pytest.mark.parametrize("seconds_per_step", [0.03, 0.1, 0.1564, 0.3, 0.7, 1.3, 7.0, 30.0])
def test_the_advice_can_be_taken_and_is_the_best(
    n: int, steps: int, seconds_per_step: float
) -> None:
    try:
        check_time(request(n, steps, seconds_per_step), LIMIT_S)
    except InvalidRequest as refusal:
        advice = str(refusal).split("What fits: ")[1]
    else:
        assert n * steps * seconds_per_step <= LIMIT_S + 1e-6
        return
    fewer_steps = re.search(r"up to (\d+) num_inference_steps", advice)
    fewer_images = re.search(r"n up to (\d+)", advice)
    best_steps = int(fewer_steps[1]) if fewer_steps else 0
    best_images = int(fewer_images[1]) if fewer_images else 0
    assert 0 <= best_steps < steps
    assert 0 <= best_images < n
    for images, count in ((n, best_steps), (best_images, steps)):
        if images and count:
            check_time(request(images, count, seconds_per_step), LIMIT_S)
    for images, count in ((n, best_steps + 1), (best_images + 1, steps)):
        with pytest.raises(InvalidRequest):
            check_time(request(images, count, seconds_per_step), LIMIT_S)


def test_nothing_fits() -> None:
    with pytest.raises(InvalidRequest, match="What fits: not with this n and size"):
        check_time(request(2, 5, 30), LIMIT_S)
