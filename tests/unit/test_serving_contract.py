from __future__ import annotations

import json

import pytest

from sd_serving.contract import SEED_SPACE, GenerationRequest, parse_request
from sd_serving.errors import InvalidRequest
from tests.serving_fakes import config, request

CONFIG = config()


def parse(**fields: object) -> GenerationRequest:
    return parse_request(json.dumps({"prompt": "x", **fields}).encode(), CONFIG, lambda: 42)


def refused(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse_request(body, CONFIG)
    return caught.value


def test_a_prompt_is_enough() -> None:
    assert parse(prompt="a red circle") == GenerationRequest(
        prompt="a red circle",
        negative_prompt="",
        num_images=1,
        height=64,
        width=64,
        num_inference_steps=5,
        guidance_scale=7.5,
        seed=42,
    )


def test_takes_every_key() -> None:
    parsed = parse(
        prompt="ä" * 50,
        negative_prompt="blur",
        num_images=4,
        height=128,
        width=64,
        num_inference_steps=9,
        guidance_scale=20,
        seed=SEED_SPACE - 1,
    )
    assert parsed == GenerationRequest("ä" * 50, "blur", 4, 128, 64, 9, 20.0, SEED_SPACE - 1)
    assert isinstance(parsed.guidance_scale, float)


def test_zero_is_a_seed_not_an_absence() -> None:
    assert parse(seed=0).seed == 0


def test_drawn_seeds_differ() -> None:
    seeds = {parse_request(b'{"prompt": "x"}', CONFIG).seed for _ in range(8)}
    assert len(seeds) > 1
    assert all(0 <= seed < SEED_SPACE for seed in seeds)


def test_seeds_count_up_and_wrap() -> None:
    assert request(seed=SEED_SPACE - 2, num_images=4).seeds == (
        SEED_SPACE - 2,
        SEED_SPACE - 1,
        0,
        1,
    )


def test_prompt_and_seed_don_t_part_a_batch_but_size_steps_and_guidance_do() -> None:
    base = request()
    assert (
        base.batch_key == request(prompt="y", negative_prompt="z", seed=9, num_images=3).batch_key
    )
    for change in ({"height": 128}, {"num_inference_steps": 4}, {"guidance_scale": 1.0}):
        assert request(**change).batch_key != base.batch_key


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"prompt": ""}, "prompt", "1 to 50"),
        ({"prompt": "x" * 51}, "prompt", "not 51"),
        ({"prompt": None}, "prompt", "not null"),
        ({"prompt": ["x"]}, "prompt", "not an array"),
        ({"prompt": "\ud83d"}, "prompt", "surrogate"),
        ({"negative_prompt": "x" * 51}, "negative_prompt", "0 to 50"),
        ({"negative_prompt": 1}, "negative_prompt", "not an integer"),
        ({"num_images": 0}, "num_images", "1 to 4"),
        ({"num_images": 5}, "num_images", "1 to 4"),
        ({"num_images": True}, "num_images", "not a boolean"),
        ({"num_images": "2"}, "num_images", "not a string"),
        ({"num_inference_steps": 25.0}, "num_inference_steps", "not a number"),
        ({"num_inference_steps": 10}, "num_inference_steps", "1 to 9"),
        ({"guidance_scale": 0.99}, "guidance_scale", "1.0 to 20.0"),
        ({"guidance_scale": 20.01}, "guidance_scale", "1.0 to 20.0"),
        ({"guidance_scale": {}}, "guidance_scale", "not an object"),
        ({"guidance_scale": float("nan")}, "guidance_scale", "1.0 to 20.0"),
        ({"guidance_scale": float("inf")}, "guidance_scale", "1.0 to 20.0"),
        ({"guidance_scale": 10**400}, "guidance_scale", "1.0 to 20.0"),
        ({"seed": -1}, "seed", "0 to 4294967295"),
        ({"seed": SEED_SPACE}, "seed", "0 to 4294967295"),
        ({"height": 64}, "width", "go together"),
        ({"width": 64}, "height", "go together"),
        ({"height": 64, "width": 56}, "width", "one of 64x64, 64x128"),
        ({"height": 72, "width": 64}, "height", "64x72 is not served"),
        ({"height": 4096, "width": 64}, "height", "8 to 128"),
        ({"steps": 3}, "steps", "allowed: prompt, negative_prompt"),
    ],
)
def test_refuses_by_key_with_the_range(fields: dict[str, object], param: str, says: str) -> None:
    error = refused(json.dumps({"prompt": "x", **fields}).encode())
    assert error.param == param
    assert says in str(error)
    assert error.status == 400


def test_a_missing_prompt_is_named() -> None:
    error = refused(b"{}")
    assert (error.param, "prompt is missing" in str(error)) == ("prompt", True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"prompt"',
        b"\xff\xfe\xff",
        b"[" * 200_000,
        b'{"prompt": "x", "seed": ' + b"1" * 5000 + b"}",
    ],
)
def test_a_body_that_is_no_object_is_refused_as_a_whole(body: bytes) -> None:
    error = refused(body)
    assert error.param is None
    assert "body" in str(error)


def test_an_unprintable_key_can_be_answered_in_json() -> None:
    error = refused(b'{"prompt": "x", "\\ud800": 1}')
    assert error.param is not None
    assert json.dumps({"param": error.param, "message": str(error)}).encode()
