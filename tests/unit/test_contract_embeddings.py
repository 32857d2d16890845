from __future__ import annotations

import base64
import json
import struct

import pytest

from sd_contract.embeddings import (
    INPUTS,
    Embeddings,
    asked_texts,
    asks_embeddings,
    embeddings_invocation,
    is_too_old,
    read_embeddings,
)
from sd_contract.invocation import ContainerError, Invocation, Refused
from tests.fakes.serving import config


def vector(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def test_a_container_reads_the_texts_that_it_is_asked_for() -> None:
    texts = ["a red heart", 'the word "input"', "ein Fuchs – 狐"]
    body = embeddings_invocation(texts)
    assert asks_embeddings(body)
    assert asked_texts(body) == texts
    assert asked_texts(b'{"input": "a red heart"}') == ["a red heart"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt": "x"}',
        b'{"prompt": "the word \\"input\\""}',
        b'{"prompt": "input", "model": "input"}',
        b'["input"]',
        b'{"input": ',
        b"",
    ],
)
def test_all_else_is_a_pictures_request(body: bytes) -> None:
    assert not asks_embeddings(body)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], f"input: must have 1 to {INPUTS} strings, not 0"),
        (["x"] * (INPUTS + 1), f"input: must have 1 to {INPUTS} strings, not {INPUTS + 1}"),
        (["x", ""], "input: string 1 must have 1 to 1000 characters, not 0"),
        (["x" * 1001], "input: string 0 must have 1 to 1000 characters, not 1001"),
        ("", "input: must have 1 to 1000 characters, not 0"),
        (["\ud800"], "input: string 0 must be valid Unicode text"),
        (
            [1, 2],
            "input: must be a string of 1 to 1000 characters, or a list of 1 to 64 of them, "
            "not a list",
        ),
        (
            None,
            "input: required, a string of 1 to 1000 characters, or a list of 1 to 64 of them",
        ),
    ],
)
def test_texts_out_of_range_are_refused_by_number(texts: object, message: str) -> None:
    with pytest.raises(Refused) as caught:
        asked_texts(json.dumps({"input": texts}).encode())
    assert (str(caught.value), caught.value.field) == (message, "input")


def test_an_answer_is_read_as_it_was_written() -> None:
    answer = Embeddings((vector(0.6, 0.8), vector(-1, 0)), 9, ("input: has 99 tokens",))
    assert Embeddings.from_json(answer.to_json()) == answer
    assert answer.dimensions == 2
    assert read_embeddings(answer.to_json()) == [
        [struct.unpack("<f", vector(0.6))[0], struct.unpack("<f", vector(0.8))[0]],
        [-1.0, 0.0],
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"vectors": []},
        {"vectors": ["no base64"]},
        {"vectors": [""]},
        {"vectors": [base64.b64encode(b"12345").decode()]},
        {"vectors": [base64.b64encode(vector(float("nan"))).decode()]},
        {"vectors": [base64.b64encode(vector(*each)).decode() for each in ((1,), (1, 0))]},
        {"vectors": None},
        {"prompt_tokens": -1},
        {"prompt_tokens": "3"},
    ],
)
def test_an_answer_out_of_the_contract_is_none(changes: dict[str, object]) -> None:
    document = json.loads(Embeddings((vector(1),), 3).to_json())
    with pytest.raises(ValueError):  # noqa: PT011 - whose words no caller sees
        Embeddings.from_json(json.dumps({**document, **changes}).encode())


def test_a_container_older_than_embeddings_is_told_from_one_that_refuses() -> None:
    with pytest.raises(Refused) as caught:
        Invocation.from_json(embeddings_invocation(["x"]), config())
    older = caught.value
    with pytest.raises(ContainerError) as read:
        Embeddings.from_json(older.to_json())
    assert is_too_old(read.value)
    with pytest.raises(Refused) as refused:
        asked_texts(b'{"input": [], "size": 1}')
    assert not is_too_old(refused.value)
