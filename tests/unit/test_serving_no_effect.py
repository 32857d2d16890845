"""Nothing is dropped in silence."""

from __future__ import annotations

import pytest

from sd_contract.invocation import Answer, Edit, Invocation
from sd_serving.engine import Engine
from sd_serving.tokenizer import PromptTokenizer
from tests.fakes.serving import WEIGHTS, FakeParts, config, picture_file, request

LONG = " ".join(f"word{number}" for number in range(80))
"""By the double's tokens, the last 5 of them are too many."""
CUT = "has 82 tokens, of which the model reads 77; this end has no effect: word75 "
PICTURE = picture_file()


def answered(asked: Invocation) -> Answer:
    return Engine(FakeParts(), config()).generate([asked])[0]


def test_what_has_all_its_effect_goes_without_a_warning() -> None:
    for asked in (
        request(negative_prompt="dark"),
        request(output_format="jpeg", output_compression=3),
        request(edit=Edit(PICTURE)),
    ):
        assert answered(asked).warnings == ()


@pytest.mark.parametrize(
    ("asked", "warning"),
    [
        (request(prompt=LONG), f"prompt: {CUT}"),
        (request(negative_prompt=LONG), f"negative_prompt: {CUT}"),
        (
            request(negative_prompt=LONG, guidance_scale=1.0),
            "negative_prompt: has no effect at guidance_scale 1, ",
        ),
        (
            request(output_compression=50),
            "output_compression: has no effect on PNG, which loses nothing.",
        ),
        (
            request(edit=Edit(PICTURE, strength=0.3)),
            "strength: 0.3 of 3 steps is none; prompt and seed have no effect.",
        ),
        (
            request(edit=Edit(PICTURE, strength=1.0)),
            "image: has no effect at strength 1 without a mask.",
        ),
    ],
)
def test_what_has_no_effect_is_said_of_its_field(asked: Invocation, warning: str) -> None:
    (said,) = answered(asked).warnings
    assert said.startswith(warning)


def test_a_prompt_too_long_is_drawn_and_counted() -> None:
    answer = answered(request(prompt=LONG, negative_prompt="too dark"))
    assert answer.images
    assert answer.engine["prompt_tokens"] == 82
    assert answer.engine["negative_prompt_tokens"] == 4


@pytest.fixture(scope="module")
def tokenizer() -> PromptTokenizer:
    return PromptTokenizer(WEIGHTS / "tokenizer")


@pytest.mark.parametrize("end", ["", "a red circle", "x, y", "rot, grün und blau", "🦊🦊"])
def test_what_is_cut_off_is_what_the_encoder_doesn_t_see(
    tokenizer: PromptTokenizer, end: str
) -> None:
    full = "circle " * (tokenizer.max_length - 2)
    assert tokenizer.count(full) == tokenizer.max_length
    assert tokenizer.ids([full + end]).tolist() == tokenizer.ids([full]).tolist()
    assert tokenizer.cut_off(full + end).replace(" ", "") == end.replace(" ", "")
