from __future__ import annotations

import base64
import json

import pytest

from sd_contract.invocation import (
    INVALID_REQUEST,
    Answer,
    ContainerError,
    Edit,
    Invocation,
    Refused,
)
from sd_contract.seeds import SEEDS
from sd_contract.size import Size
from sd_serving.engine import batch_key
from sd_serving.errors import NotReady
from tests.fakes.serving import config, request

CONFIG = config()


def parse(**fields: object) -> Invocation:
    return Invocation.from_json(json.dumps({"prompt": "x", **fields}).encode(), CONFIG, lambda: 42)


def refused(body: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        Invocation.from_json(body, CONFIG)
    return caught.value


def test_a_prompt_is_enough() -> None:
    assert parse(prompt="a red circle") == Invocation(
        prompt="a red circle",
        negative_prompt="",
        num_images=1,
        size=Size(64, 64),
        num_inference_steps=5,
        guidance_scale=7.5,
        seed=42,
    )


def test_null_is_not_given_and_one_point_nought_the_integer_one() -> None:
    assert parse(seed=None, image=None, guidance_scale=None) == parse()
    assert parse(num_images=1.0, seed=7.0) == parse(num_images=1, seed=7)


def test_takes_every_key() -> None:
    parsed = parse(
        prompt="ä" * 1000,
        negative_prompt="blur",
        num_images=4,
        height=128,
        width=64,
        num_inference_steps=100,
        guidance_scale=20,
        seed=SEEDS - 1,
        output_format="webp",
        output_compression=0,
        embed_prompt=False,
        image=base64.b64encode(b"\xff picture").decode(),
        mask=base64.b64encode(b"mask").decode(),
        strength=1,
    )
    assert parsed == Invocation(
        "ä" * 1000,
        "blur",
        4,
        Size(64, 128),
        100,
        20.0,
        SEEDS - 1,
        "webp",
        0,
        embed_prompt=False,
        edit=Edit(b"\xff picture", b"mask", 1.0),
    )
    assert isinstance(parsed.guidance_scale, float)
    assert Invocation.from_json(parsed.to_json(), CONFIG) == parsed


def test_an_edit_without_a_mask_is_read_as_it_was_written() -> None:
    parsed = parse(image=base64.b64encode(b"picture").decode())
    assert parsed.edit == Edit(b"picture", None, 0.75)
    assert Invocation.from_json(parsed.to_json(), CONFIG) == parsed


@pytest.mark.parametrize(
    ("strength", "steps", "run"), [(1.0, 25, 25), (0.75, 25, 18), (0.0, 25, 0), (0.09, 11, 0)]
)
def test_strength_is_a_share_of_the_steps(strength: float, steps: int, run: int) -> None:
    edit = Edit(b"picture", strength=strength)
    assert request(num_inference_steps=steps, edit=edit).steps_run == run
    assert request(num_inference_steps=steps).steps_run == steps


def test_zero_is_a_seed_not_an_absence() -> None:
    assert parse(seed=0).seed == 0


def test_drawn_seeds_differ() -> None:
    seeds = {Invocation.from_json(b'{"prompt": "x"}', CONFIG).seed for _ in range(8)}
    assert len(seeds) > 1
    assert all(0 <= seed < SEEDS for seed in seeds)


def test_seeds_count_up_and_wrap() -> None:
    assert request(seed=SEEDS - 2, num_images=4).seeds == (SEEDS - 2, SEEDS - 1, 0, 1)


def test_prompt_and_seed_don_t_part_a_batch_but_size_steps_and_guidance_do() -> None:
    base = batch_key(request())
    assert base == batch_key(request(prompt="y", negative_prompt="z", seed=9, num_images=3))
    for change in ({"height": 128}, {"num_inference_steps": 4}, {"guidance_scale": 1.0}):
        assert batch_key(request(**change)) != base


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"prompt": ""}, "prompt", "1 to 1000"),
        ({"prompt": "x" * 1001}, "prompt", "not 1001"),
        ({"prompt": None}, "prompt", "required"),
        ({"prompt": ["x"]}, "prompt", "must be a string"),
        ({"prompt": "\ud83d"}, "prompt", "Unicode"),
        ({"negative_prompt": "x" * 1001}, "negative_prompt", "0 to 1000"),
        ({"negative_prompt": 1}, "negative_prompt", "not 1"),
        ({"num_images": 0}, "num_images", "1 to 4"),
        ({"num_images": 5}, "num_images", "1 to 4"),
        ({"num_images": True}, "num_images", "not a boolean"),
        ({"num_images": "2"}, "num_images", "not '2'"),
        ({"num_inference_steps": 25.5}, "num_inference_steps", "not 25.5"),
        ({"num_inference_steps": 101}, "num_inference_steps", "1 to 100"),
        ({"guidance_scale": 0.99}, "guidance_scale", "not 0.99"),
        ({"guidance_scale": 20.01}, "guidance_scale", "not 20.01"),
        ({"guidance_scale": {}}, "guidance_scale", "not an object"),
        ({"guidance_scale": float("nan")}, "guidance_scale", "a number from 1"),
        ({"guidance_scale": float("inf")}, "guidance_scale", "a number from 1"),
        ({"guidance_scale": 10**400}, "guidance_scale", "a number from 1"),
        ({"seed": -1}, "seed", "0 to 4294967295"),
        ({"seed": SEEDS}, "seed", "0 to 4294967295"),
        ({"height": 64}, "width", "go together"),
        ({"width": 64}, "height", "go together"),
        ({"height": 64, "width": 56}, "width", "one of 64x64, 64x128"),
        ({"height": 72, "width": 64}, "height", "64x72 is not served"),
        ({"height": 4096, "width": 64}, "height", "64x4096 is not served"),
        ({"height": 4097, "width": 64}, "height", "8 to 4096"),
        ({"steps": 3}, "steps", "known: prompt, num_images"),
        ({"output_format": "gif"}, "output_format", "png, jpeg, webp"),
        ({"output_compression": 101}, "output_compression", "0 to 100"),
        ({"embed_prompt": 1}, "embed_prompt", "a boolean, not 1"),
        ({"image": []}, "image", "must be a string"),
        ({"image": "a"}, "image", "must be base64"),
        ({"image": "ä"}, "image", "must be base64"),
        ({"image": "", "mask": "-"}, "mask", "must be base64"),
        ({"image": "", "strength": 1.01}, "strength", "0.0 to 1.0"),
        ({"mask": ""}, "mask", "only together with image"),
        ({"strength": 0.5}, "strength", "only together with image"),
    ],
)
def test_refuses_by_key_with_the_range(fields: dict[str, object], param: str, says: str) -> None:
    error = refused(json.dumps({"prompt": "x", **fields}).encode())
    assert error.field == param
    assert says in str(error)
    assert str(error).startswith(f"{param}: ")


def test_a_missing_prompt_is_named() -> None:
    error = refused(b"{}")
    assert (error.field, str(error)) == (
        "prompt",
        "prompt: required, a string of 1 to 1000 characters",
    )


def test_all_mistakes_are_named_at_once() -> None:
    error = refused(b'{"prompt": "", "seed": -1, "height": "x"}')
    assert [part.split(":")[0] for part in str(error).split("; ")] == ["prompt", "height", "seed"]


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
    assert error.field is None
    assert "body" in str(error)


def test_an_unprintable_key_can_be_answered_in_json() -> None:
    error = refused(b'{"prompt": "x", "\\ud800": 1}')
    assert ContainerError.from_json(error.to_json()).kind == INVALID_REQUEST


def test_an_answer_is_read_as_it_was_written() -> None:
    timings = {
        "text_encoder": 1.0,
        "denoise": 2.5,
        "vae_encode": 0.0,
        "vae_decode": 3.0,
        "encode": 0.5,
    }
    warnings = ("prompt: ends early.",)
    engine = {"images_in_batch": 4, "prompt_tokens": 5, "negative_prompt_tokens": 2}
    answer = Answer((b"1", b"2"), (7, 8), timings, engine, "webp", warnings)
    assert Answer.from_json(answer.to_json()) == answer
    assert answer.images_in_batch == 4
    assert answer.prompt_tokens == 7
    # Half of the batch is theirs.
    assert answer.instance_ms == 3.5


def test_an_error_is_raised_where_an_answer_is_read() -> None:
    with pytest.raises(ContainerError, match="not loaded") as caught:
        Answer.from_json(NotReady("the model is not loaded").to_json())
    assert (caught.value.kind, caught.value.field) == ("engine_error", None)
