"""Requests that can't be done in time are refused with what would fit, and that then does fit."""

import re

import pytest

from front_door.errors import InvalidRequest
from front_door.generation import GenerationRequest
from front_door.picture_time import PictureTime
from front_door.time_limit import check_time, estimate_s
from tests.fakes.front_door import generation_request, variant

LIMIT_S = 26.0


def request(n: int, steps: int) -> GenerationRequest:
    return generation_request(num_images=n, num_inference_steps=steps)


def check(n: int, steps: int, step_s: float, other_s: float = 0.0) -> None:
    check_time(request(n, steps), PictureTime(step_s, other_s), LIMIT_S)


def test_the_estimate_scales_with_images_and_steps() -> None:
    assert estimate_s(request(1, 25), PictureTime(0.1, 0)) == pytest.approx(2.5)
    assert estimate_s(request(4, 25), PictureTime(0.1, 0)) == pytest.approx(10)
    assert estimate_s(request(1, 50), PictureTime(0.1, 0)) == pytest.approx(5)
    assert estimate_s(request(4, 25), PictureTime(0.1, 0.5)) == pytest.approx(12)


def test_the_refusal_names_the_fields_and_what_fits() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(4, 100, 0.0782)
    assert str(caught.value) == (
        "n, num_inference_steps, size: n=4 images of 512x512 with 100 steps each would take about "
        "31 s on model 'g5', and 26 s are available. What fits: with n=4, up to 83 "
        "num_inference_steps; or with num_inference_steps=100, n up to 3; or all of it in a batch: "
        "POST /batches"
    )
    assert (caught.value.param, caught.value.code) == ("num_inference_steps", "too_slow")


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("steps", [1, 25, 50, 99, 100])
@pytest.mark.parametrize("step_s", [0.03, 0.1, 0.1564, 0.26, 0.3, 0.7, 1.3, 7.0, 30.0])
@pytest.mark.parametrize("other_s", [0.0, 0.37, 5.0, 7.0, 30.0])
def test_the_advice_can_be_taken_and_is_the_best(
    n: int, steps: int, step_s: float, other_s: float
) -> None:
    try:
        check(n, steps, step_s, other_s)
    except InvalidRequest as refusal:
        advice = str(refusal).split("What fits: ")[1]
    else:
        assert n * (steps * step_s + other_s) <= LIMIT_S + 1e-6
        return
    fewer_steps = re.search(r"up to (\d+) num_inference_steps", advice)
    fewer_images = re.search(r"n up to (\d+)", advice)
    best_steps = int(fewer_steps[1]) if fewer_steps else 0
    best_images = int(fewer_images[1]) if fewer_images else 0
    assert 0 <= best_steps < steps
    assert 0 <= best_images < n
    for images, count in ((n, best_steps), (best_images, steps)):
        if images and count:
            check(images, count, step_s, other_s)
    for images, count in ((n, best_steps + 1), (best_images + 1, steps)):
        with pytest.raises(InvalidRequest):
            check(images, count, step_s, other_s)


def test_a_variant_without_batches_is_not_told_of_them() -> None:
    asked = generation_request(variant(serve=["real-time"]), num_images=4)
    with pytest.raises(InvalidRequest) as caught:
        check_time(asked, PictureTime(30, 0), LIMIT_S)
    assert "batch" not in str(caught.value)


def test_nothing_fits() -> None:
    with pytest.raises(InvalidRequest, match="What fits: not with this n and size"):
        check(2, 5, 30)
