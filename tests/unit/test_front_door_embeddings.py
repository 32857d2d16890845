from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sd_contract.embeddings import INPUTS, floats, read_embeddings
from sd_serving.engine import Engine
from sd_serving.handler import Call, Handler
from tests.fakes.front_door import (
    CONFIG,
    REQUEST_ID,
    FakeParameterStore,
    FakeRuntime,
    World,
    client_error,
    embedding,
    model_error,
    registration,
    vectors_of,
)
from tests.fakes.serving import FakeParts, LogDouble, config


def vector_of(text: str) -> bytes:
    return base64.b64decode(vectors_of([text])["vectors"][0])


def test_one_text_or_several_in_openai_s_shape() -> None:
    world = World()
    status, _, body = world.embed(input=["a red heart", "x"])
    assert status == 200
    assert body == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": floats(vector_of("a red heart"))},
            {"object": "embedding", "index": 1, "embedding": floats(vector_of("x"))},
        ],
        "model": "g5",
        "usage": {"prompt_tokens": 12, "total_tokens": 12},
    }
    [call] = world.runtime.invocations
    assert call["Body"] == {"input": ["a red heart", "x"]}
    assert call["CustomAttributes"] == f"request_id={REQUEST_ID}"
    one = world.embed(input="x", encoding_format="base64", dimensions=2)[2]
    assert [each["embedding"] for each in one["data"]] == [
        base64.b64encode(vector_of("x")).decode()
    ]


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"input": []}, "input", "out_of_range"),
        ({"input": ["x"] * (INPUTS + 1)}, "input", "out_of_range"),
        ({"input": ["x" * 1001]}, "input", "out_of_range"),
        ({"input": ""}, "input", "out_of_range"),
        ({"input": [1, 2]}, "input", "invalid_type"),
        ({"input": None}, "input", "missing_field"),
        ({"encoding_format": "int8"}, "encoding_format", "out_of_range"),
        ({"dimensions": 0}, "dimensions", "out_of_range"),
        ({"prompt": "x"}, "prompt", "unknown_field"),
    ],
)
def test_mistakes_are_refused_by_name(changes: dict[str, Any], param: str, code: str) -> None:
    world = World()
    status, _, body = world.embed(**{"input": "x", **changes})
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, param, code)
    assert world.runtime.invocations == []


def test_dimensions_are_the_model_s_own_or_refused() -> None:
    status, headers, body = World().embed(input="x", dimensions=3)
    assert (status, headers["x-should-retry"]) == (400, "false")
    assert body["error"]["message"] == "dimensions: must be 2 for model 'g5', not 3"
    assert body["error"]["param"] == "dimensions"


def test_as_many_texts_as_there_may_be_pass_however_they_are_spelled() -> None:
    """In JSON a character takes up to 12 bytes."""
    world = World()
    assert world.embed(input=["\U0001f98a" * 1000] * INPUTS)[0] == 200
    assert len(world.runtime.invocations[0]["Body"]["input"]) == INPUTS


def test_a_model_that_draws_batches_alone_has_no_vectors() -> None:
    world = World(ssm=FakeParameterStore({"bulk": registration("bulk", serve=["bulk"])}))
    status, _, body = world.embed(input="x", model="bulk")
    assert (status, body["error"]["code"]) == (400, "batches_only")


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer["vectors"].pop(),
        lambda answer: answer.pop("prompt_tokens"),
        lambda answer: answer.update(vectors=["x"]),
    ],
)
def test_an_answer_out_of_the_contract_is_ours_to_mend(change: Callable[[Any], Any]) -> None:
    status, _, body = World(runtime=FakeRuntime(change=change)).embed(input=["x", "y"])
    assert (status, body["error"]["code"]) == (500, "internal_error")


def test_what_no_container_has_worked_on_is_tried_again() -> None:
    world = World(runtime=FakeRuntime(fails_first=[client_error("ThrottlingException")]))
    assert world.embed(input="x")[0] == 200
    assert len(world.runtime.invocations) == 2


def test_a_container_s_refusal_within_a_batch_is_the_caller_s() -> None:
    """DJL's batches have one status, 200."""
    handler = Handler(Engine(FakeParts(), config()), config(), LogDouble())
    refused = json.loads(handler.respond(Call(b'{"input": []}')).body)

    def refuse(answer: dict[str, Any]) -> None:
        answer.clear()
        answer.update(refused)

    status, _, body = World(runtime=FakeRuntime(change=refuse)).embed(input="x")
    assert (status, body["error"]["param"]) == (400, "input")


def test_the_container_s_real_answer_is_passed_on() -> None:
    handler = Handler(Engine(FakeParts(), config()), config(), LogDouble())
    answers: list[bytes] = []

    class Container(FakeRuntime):
        def invoke_endpoint(self, **kwargs: Any) -> Any:
            answers.append(handler.respond(Call(kwargs["Body"])).body)
            return {"Body": io.BytesIO(answers[-1])}

    long = " ".join(["word"] * 80)
    body = World(runtime=Container()).embed(input=["a red heart", long])[2]
    assert [each["embedding"] for each in body["data"]] == read_embeddings(answers[0])
    assert body["usage"] == {"prompt_tokens": 5 + 82, "total_tokens": 5 + 82}
    assert body["warnings"][0].startswith(
        "input: text 1 has 82 tokens, of which the model reads 77"
    )


TEXT = 'a "red" fox\nand ein Füchslein'


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(f"while embedding {TEXT}"),
        model_error({"error": {"type": "engine_error", "message": f"at {TEXT!r}"}}),
        None,
    ],
)
def test_texts_never_reach_the_log_whatever_the_setting_says(error: Exception | None) -> None:
    settings = replace(CONFIG, log_prompts=True)
    world = World(runtime=FakeRuntime(fails=error), config=settings)
    world.embed(input=["x y z", TEXT], user="someone@example.org")
    [line] = world.logged
    assert line["texts"] == 2
    assert len(line["user"]) == 16
    logged = json.dumps(line)
    assert "chslein" not in logged
    assert "red" not in logged.replace("[redacted]", "")
    assert "someone" not in logged


def test_the_log_line_counts_no_pictures() -> None:
    world = World()
    world.send(embedding({"input": "a red heart"}))
    [line] = world.logged
    assert (line["model"], line["prompt_tokens"], line["warnings"]) == ("g5", 11, 0)
    assert not {"_aws", "pictures", "usd_per_picture"} & line.keys()
