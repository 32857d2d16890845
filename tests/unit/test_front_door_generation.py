"""What a request asks for: every field's type, range and default, and who refuses what."""

from typing import Any

import pytest

from front_door.errors import InvalidRequest
from front_door.generation import GenerationFields, complete, parse_fields
from sd_contract.fields import PUBLIC
from sd_contract.invocation import Invocation
from sd_contract.size import Size
from tests.unit.front_door_fakes import variant


def parse(**body: Any) -> GenerationFields:
    return parse_fields({"prompt": "a red fox", **body})


def refused(**body: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse(**body)
    return caught.value


def test_the_least_request() -> None:
    fields = parse()
    assert fields.prompt == "a red fox"
    assert {getattr(fields, name) for name in PUBLIC if name != "prompt"} == {None}


def test_a_full_request() -> None:
    body: dict[str, Any] = {
        "prompt": "a red fox",
        "model": "djl",
        "n": 2,
        "size": "512x512",
        "response_format": "b64_json",
        "output_format": "webp",
        "output_compression": 0,
        "negative_prompt": "",
        "num_inference_steps": 1,
        "guidance_scale": 20,
        "seed": 4294967295,
        "user": "me",
    }
    assert set(body) == set(PUBLIC)
    fields = parse(**body)
    assert {name: getattr(fields, name) for name in PUBLIC} == body
    assert isinstance(fields.guidance_scale, float)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", "x"),
        ("prompt", "🦊" * 1000),
        ("negative_prompt", "x" * 1000),
        ("n", 1),
        ("n", 4),
        ("num_inference_steps", 100),
        ("guidance_scale", 1),
        ("guidance_scale", 20.0),
        ("seed", 0),
        ("user", ""),
    ],
)
def test_the_ends_of_a_range_belong_to_it(field: str, value: Any) -> None:
    assert getattr(parse(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("prompt", "", "prompt: must have 1 to 1000 characters, not 0"),
        ("prompt", "x" * 1001, "prompt: must have 1 to 1000 characters, not 1001"),
        ("negative_prompt", "x" * 1001, "negative_prompt: must have 0 to 1000 characters"),
        ("prompt", "half \ud83e", "prompt: must be valid Unicode text"),
        ("user", "half \ud83e", "user: must be valid Unicode text"),
        ("n", 0, "n: must be an integer from 1 to 4, not 0"),
        ("n", 5, "n: must be an integer from 1 to 4, not 5"),
        ("n", 10**400, "n: must be an integer from 1 to 4, not 1000"),
        ("num_inference_steps", 0, "num_inference_steps: must be an integer from 1 to 100"),
        ("num_inference_steps", 101, "num_inference_steps: must be an integer from 1 to 100"),
        ("guidance_scale", 0.99, "guidance_scale: must be a number from 1.0 to 20.0, not 0.99"),
        ("guidance_scale", 20.01, "guidance_scale: must be a number from 1.0 to 20.0"),
        ("guidance_scale", float("inf"), "guidance_scale: must be a number from 1.0 to 20.0"),
        ("guidance_scale", 10**400, "guidance_scale: must be a number from 1.0 to 20.0"),
        ("seed", -1, "seed: must be an integer from 0 to 4294967295, not -1"),
        ("seed", 2**32, "seed: must be an integer from 0 to 4294967295"),
        ("response_format", "png", "response_format: must be one of url, b64_json, not 'png'"),
    ],
)
def test_out_of_range(field: str, value: Any, message: str) -> None:
    error = refused(**{field: value})
    assert str(error).startswith(message)
    assert len(str(error)) < 200
    assert (error.param, error.code) == (field, "out_of_range")


STRINGS = ("prompt", "model", "size", "response_format", "negative_prompt", "user")
INTEGERS = ("n", "num_inference_steps", "seed")
NO_STRINGS: list[Any] = [1, None, True, ["x"], {}]
NO_INTEGERS: list[Any] = ["1", 1.0, None, True, [1]]
NO_NUMBERS: list[Any] = ["7.5", None, True, [7.5]]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        *((name, value, "a string") for name in STRINGS for value in NO_STRINGS),
        *((name, value, "an integer from ") for name in INTEGERS for value in NO_INTEGERS),
        *(("guidance_scale", value, "a number from ") for value in NO_NUMBERS),
    ],
)
def test_wrong_type(field: str, value: Any, expected: str) -> None:
    error = refused(**{field: value})
    assert str(error).startswith(f"{field}: must be {expected}")
    assert (error.param, error.code) == (field, "invalid_type")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(True, "a boolean"), (None, "null"), ([1], "a list"), ({}, "an object"), ("2", "'2'")],
)
def test_a_wrong_type_is_named_as_json_names_it(value: Any, shown: str) -> None:
    assert str(refused(n=value)) == f"n: must be an integer from 1 to 4, not {shown}"


def test_a_missing_prompt() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_fields({})
    assert str(caught.value) == "prompt: required, a string of 1 to 1000 characters"
    assert (caught.value.param, caught.value.code) == ("prompt", "missing_field")


@pytest.mark.parametrize("field", ["quality", "style", "background", "steps", "Prompt", ""])
def test_an_unknown_field_is_named(field: str) -> None:
    error = refused(**{field: "hd"})
    assert str(error).startswith(f"{field}: unknown field (known: prompt, model, n, size,")
    assert (error.param, error.code) == (field, "unknown_field")


def test_a_long_unknown_field_is_cut() -> None:
    assert len(str(refused(**{"x" * 10_000: 1}))) < 250


def test_all_problems_are_reported_at_once() -> None:
    error = refused(quality="hd", n=9, guidance_scale="x")
    assert str(error).split("; ")[1:] == [
        "n: must be an integer from 1 to 4, not 9",
        "guidance_scale: must be a number from 1.0 to 20.0, not 'x'",
    ]
    assert (error.param, error.code) == ("quality", "unknown_field")


def draw() -> int:
    return 41


def test_the_variant_s_defaults_fill_the_gaps() -> None:
    request = complete(parse(), variant(default_guidance_scale=4.0), draw)
    assert request.response_format == "url"
    assert request.invocation == Invocation(
        prompt="a red fox",
        negative_prompt="",
        num_images=1,
        size=Size(512, 512),
        num_inference_steps=25,
        guidance_scale=4.0,
        seed=41,
    )


def test_what_is_given_wins() -> None:
    fields = parse(
        n=2, size="768x512", num_inference_steps=9, guidance_scale=1, response_format="b64_json"
    )
    request = complete(fields, variant(), draw)
    asked = request.invocation
    assert (asked.size, asked.num_inference_steps) == (Size(width=768, height=512), 9)
    assert (asked.num_images, asked.guidance_scale) == (2, 1.0)
    assert request.response_format == "b64_json"


@pytest.mark.parametrize(
    ("seed", "seeds"),
    [
        (0, (0, 1, 2)),
        (7, (7, 8, 9)),
        (2**32 - 2, (2**32 - 2, 2**32 - 1, 0)),
        (None, (41, 42, 43)),
    ],
)
def test_image_i_has_seed_plus_i(seed: int | None, seeds: tuple[int, ...]) -> None:
    given = {} if seed is None else {"seed": seed}
    assert complete(parse(n=3, **given), variant(), draw).invocation.seeds == seeds


@pytest.mark.parametrize(
    ("body", "param", "code", "message"),
    [
        ({"n": 3}, "n", "out_of_range", "n: must be at most 2 for model 'inf2', not 3"),
        (
            {"num_inference_steps": 51},
            "num_inference_steps",
            "out_of_range",
            "num_inference_steps: must be at most 50 for model 'inf2', not 51",
        ),
        *(
            (
                {"size": size},
                "size",
                "size_not_served",
                f"size: model 'inf2' serves 512x512, 768x512, not '{size}'",
            )
            for size in ("256x256", "512x768", "512", "512X512", " 512x512", "auto", "")
        ),
    ],
)
def test_a_variant_s_own_limits(body: dict[str, Any], param: str, code: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        complete(parse(**body), variant("inf2", max_images=2, max_steps=50), draw)
    assert (str(caught.value), caught.value.param, caught.value.code) == (message, param, code)


def test_a_variant_s_limits_are_reported_at_once() -> None:
    with pytest.raises(InvalidRequest, match=r"^n: .*; size: "):
        complete(parse(n=4, size="1x1"), variant(max_images=1), draw)
