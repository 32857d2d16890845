"""What a request asks for: every field's type, range and default, and who refuses what."""

from typing import Any

import pytest

from front_door.errors import InvalidRequest
from front_door.generation import GENERATION, RequestFields, complete, parse_fields
from front_door.openai_fields import OpenAiField
from sd_contract.fields import Choice, Flag, Number, Text, Whole
from sd_contract.invocation import Invocation
from sd_contract.size import Size
from tests.fakes.front_door import variant

PUBLIC = GENERATION.known


def parse(**body: Any) -> RequestFields:
    return parse_fields({"prompt": "a red fox", **body}, GENERATION)


def refused(**body: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse(**body)
    return caught.value


def test_the_least_request() -> None:
    assert parse() == RequestFields("a red fox")


LOWEST: dict[str, Any] = {
    "prompt": "x",
    "model": "",
    "n": 1,
    "size": "",
    "response_format": "url",
    "output_format": "png",
    "output_compression": 0,
    "quality": "auto",
    "negative_prompt": "",
    "num_inference_steps": 1,
    "guidance_scale": 1,
    "seed": 0,
    "store": False,
    "user": "",
    "safety_identifier": "",
}
HIGHEST: dict[str, Any] = {
    "prompt": "🦊" * 1000,
    "model": "djl",
    "n": 4,
    "size": "512x512",
    "response_format": "b64_json",
    "output_format": "webp",
    "output_compression": 100,
    "quality": "fast",
    "negative_prompt": "x" * 1000,
    "num_inference_steps": 100,
    "guidance_scale": 20,
    "seed": 4294967295,
    "store": True,
    "user": "me",
    "safety_identifier": "me",
}


@pytest.mark.parametrize("body", [LOWEST, HIGHEST])
def test_the_ends_of_each_range_belong_to_it(body: dict[str, Any]) -> None:
    fields = parse(**body)
    assert {name: getattr(fields, name) for name in PUBLIC} == body
    assert isinstance(fields.guidance_scale, float)


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
        ("quality", "hd", "quality: must be one of auto, standard, fast, not 'hd'"),
        ("response_format", "png", "response_format: must be one of url, b64_json, not 'png'"),
    ],
)
def test_out_of_range(field: str, value: Any, message: str) -> None:
    error = refused(**{field: value})
    assert str(error).startswith(message)
    assert len(str(error)) < 200
    assert (error.param, error.code) == (field, "out_of_range")


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "prompt"])
def test_null_is_not_given(name: str) -> None:
    assert parse(**{name: None}) == parse()


def test_a_prompt_that_is_null_is_missing() -> None:
    error = refused(prompt=None)
    assert str(error) == "prompt: required, a string of 1 to 1000 characters"
    assert (error.param, error.code) == ("prompt", "missing_field")


@pytest.mark.parametrize("name", ["n", "num_inference_steps", "seed", "output_compression"])
def test_one_point_nought_is_the_integer_one(name: str) -> None:
    value = getattr(parse(**{name: 1.0}), name)
    assert (value, type(value)) == (1, int)


@pytest.mark.parametrize(("value", "shown"), [(1.5, "1.5"), (float("inf"), "a non-finite number")])
def test_one_and_a_half_is_none(value: float, shown: str) -> None:
    error = refused(n=value)
    assert (str(error), error.code) == (
        f"n: must be an integer from 1 to 4, not {shown}",
        "invalid_type",
    )


NO_STRINGS: tuple[Any, ...] = (1, True, ["x"], {})
WRONG: dict[type, tuple[Any, ...]] = {
    Text: NO_STRINGS,
    Choice: NO_STRINGS,
    Whole: ("1", 1.5, True, [1]),
    Number: ("7.5", True, [7.5]),
    Flag: ("true", 1, []),
}


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (field, value, allowed.expected)
        for field, allowed in PUBLIC.items()
        for value in WRONG[type(allowed)]
    ],
)
def test_wrong_type(field: str, value: Any, expected: str) -> None:
    error = refused(**{field: value})
    assert str(error).startswith(f"{field}: must be {expected}")
    assert (error.param, error.code) == (field, "invalid_type")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(True, "a boolean"), ([1], "a list"), ({}, "an object"), ("2", "'2'")],
)
def test_a_wrong_type_is_named_as_json_names_it(value: Any, shown: str) -> None:
    assert str(refused(n=value)) == f"n: must be an integer from 1 to 4, not {shown}"


TAKEN = [(field, value) for field in GENERATION.openai for value in (*field.taken, None)]


@pytest.mark.parametrize(("field", "value"), TAKEN)
def test_openai_s_fields_are_taken_where_they_ask_for_what_is_done(
    field: OpenAiField, value: Any
) -> None:
    assert parse(**{field.name: value}) == parse()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("background", "transparent", "must be auto or opaque, not 'transparent'. Pictures are"),
        ("moderation", ["low"], "must be auto or low, not a list. Prompts and pictures"),
        ("stream", True, "must be false, not true. Pictures come whole"),
        ("stream", 0, "must be false, not 0. Pictures come whole"),
        ("partial_images", 3, "must be 0, not 3. Pictures come whole"),
        ("partial_images", False, "must be 0, not false. Pictures come whole"),
        ("style", "vivid", "not supported. The prompt says it"),
        ("svg", {"model": "x"}, "not supported. A picture is one PNG, JPEG or WebP"),
    ],
)
def test_what_else_they_ask_for_is_refused_with_what_is_possible(
    name: str, value: Any, said: str
) -> None:
    error = refused(**{name: value})
    assert str(error).startswith(f"{name}: {said}")
    assert (error.param, error.code) == (name, "unsupported")


def test_the_newer_name_of_user_counts_first() -> None:
    assert parse(user="a", safety_identifier="b").end_user == "b"
    assert parse(user="a", safety_identifier="").end_user == "a"


@pytest.mark.parametrize("field", ["steps", "input_fidelity", "image", "Prompt", ""])
def test_an_unknown_field_is_named(field: str) -> None:
    error = refused(**{field: "hd"})
    assert str(error).startswith(f"{field}: unknown field (known: prompt, model, n, size,")
    assert (error.param, error.code) == (field, "unknown_field")


def test_a_long_unknown_field_is_cut() -> None:
    assert len(str(refused(**{"x" * 10_000: 1}))) < 300


def test_all_problems_are_reported_at_once() -> None:
    error = refused(style="vivid", steps=9, n=9, guidance_scale="x")
    style, unknown, *others = str(error).split("; ")
    assert style.startswith("style: ")
    assert unknown.startswith("steps: unknown field")
    assert others == [
        "n: must be an integer from 1 to 4, not 9",
        "guidance_scale: must be a number from 1.0 to 20.0, not 'x'",
    ]
    assert (error.param, error.code) == ("style", "unsupported")


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
        n=2,
        size="768x512",
        num_inference_steps=9,
        guidance_scale=1,
        seed=0,
        negative_prompt="blurry",
        response_format="b64_json",
        output_format="webp",
        output_compression=80,
    )
    request = complete(fields, variant(), draw)
    assert request.response_format == "b64_json"
    assert request.invocation == Invocation(
        "a red fox", "blurry", 2, Size(768, 512), 9, 1.0, 0, "webp", 80
    )


@pytest.mark.parametrize(
    ("field", "value", "code", "message"),
    [
        ("n", 3, "out_of_range", "must be at most 2 for model 'inf2', not 3"),
        ("num_inference_steps", 51, "out_of_range", "must be at most 50 for model 'inf2', not 51"),
        *(
            ("size", size, "size_not_served", f"model 'inf2' serves 512x512, 768x512, not '{size}'")
            for size in ("256x256", "512x768", "512", "512X512", " 512x512", "Auto", "")
        ),
    ],
)
def test_a_variant_s_own_limits(field: str, value: Any, code: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        complete(parse(**{field: value}), variant("inf2", max_images=2, max_steps=50), draw)
    error = caught.value
    assert (str(error), error.param, error.code) == (f"{field}: {message}", field, code)


def test_auto_is_the_variant_s_own_size() -> None:
    assert complete(parse(size="auto"), variant(), draw).invocation.size == Size(512, 512)


def test_a_variant_s_limits_are_reported_at_once() -> None:
    with pytest.raises(InvalidRequest, match=r"^n: .*; size: "):
        complete(parse(n=4, size="1x1"), variant(max_images=1), draw)


@pytest.mark.parametrize(
    ("asked", "quality", "steps"),
    [
        ({}, "standard", 25),
        ({"quality": "auto"}, "standard", 25),
        ({"quality": "standard"}, "standard", 25),
        ({"quality": "fast"}, "fast", 10),
        ({"quality": "fast", "num_inference_steps": 30}, "fast", 30),
    ],
)
def test_a_mode_brings_its_steps_and_the_caller_s_come_first(
    asked: dict[str, Any], quality: str, steps: int
) -> None:
    invocation = complete(parse(**asked), variant(), lambda: 7).invocation
    assert (invocation.quality, invocation.num_inference_steps) == (quality, steps)


def test_a_variant_older_than_modes_has_one() -> None:
    older = variant(modes=None)
    assert complete(parse(), older, lambda: 7).invocation.num_inference_steps == 25
    with pytest.raises(InvalidRequest, match="'g5' serves standard, not 'fast'") as caught:
        complete(parse(quality="fast"), older, lambda: 7)
    assert (caught.value.param, caught.value.code) == ("quality", "quality_not_served")
