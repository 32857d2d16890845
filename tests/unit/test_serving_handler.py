from __future__ import annotations

import base64
import io
import json
from dataclasses import fields
from typing import Any

import pytest
from PIL import Image

from sd_contract.invocation import STAGES, Answer
from sd_serving.engine import Engine
from sd_serving.handler import Call, Handler, Reply
from tests.fakes.serving import (
    FakeParts,
    LogDouble,
    config,
    failing,
    mask_file,
    picture_file,
    request,
)

CONFIG = config()


def make(parts: FakeParts | None = None) -> tuple[Handler, LogDouble]:
    log = LogDouble()
    return Handler(Engine(parts or FakeParts(), CONFIG), CONFIG, log), log


def call(accept: str = "", **fields: object) -> Call:
    body = {"prompt": "a red circle", "num_inference_steps": 3, "seed": 7, **fields}
    return Call(json.dumps(body).encode(), accept, "id-1")


def text(file: bytes) -> str:
    return base64.b64encode(file).decode()


def document(reply: Reply) -> Any:
    assert reply.content_type == "application/json"
    return json.loads(reply.body)


def test_answers_in_json() -> None:
    handler, log = make()
    reply = handler.respond(call(num_images=2))
    answer = document(reply)
    (expected,) = Engine(FakeParts(), CONFIG).generate([request(num_images=2)])
    assert reply.status == 200
    assert set(answer) == {field.name for field in fields(Answer)}
    assert [base64.b64decode(image) for image in answer["images"]] == list(expected.images)
    assert answer["seeds"] == [7, 8]
    assert set(answer["timings_ms"]) == set(STAGES)
    assert answer["engine"]["steps"] == 3
    (line,) = log.lines
    assert (line["event"], line["request_id"], line["status"]) == ("invocation", "id-1", 200)
    assert (line["size"], line["steps"], line["num_images"]) == ("64x64", 3, 2)


@pytest.mark.parametrize("accept", ["image/png", "Image/PNG;q=1, */*"])
def test_answers_with_the_raw_picture_and_its_seed(accept: str) -> None:
    handler, _ = make()
    reply = handler.respond(call(accept))
    assert (reply.status, reply.content_type) == (200, "image/png")
    assert reply.body == Engine(FakeParts(), CONFIG).generate([request()])[0].images[0]
    assert reply.headers == {"X-Amzn-SageMaker-Custom-Attributes": "seed=7"}


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "application/json, image/png"])
def test_everything_else_gets_json(accept: str) -> None:
    handler, _ = make()
    assert handler.respond(call(accept)).content_type == "application/json"


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_answers_in_the_format_asked_for(output_format: str) -> None:
    handler, _ = make()
    answer = document(handler.respond(call(output_format=output_format)))
    picture = base64.b64decode(answer["images"][0])
    assert answer["output_format"] == output_format
    assert Image.open(io.BytesIO(picture)).format == output_format.upper()
    raw = handler.respond(call(f"image/{output_format}", output_format=output_format))
    assert (raw.content_type, raw.body) == (f"image/{output_format}", picture)


def test_edits_and_says_what_it_did_to_the_picture() -> None:
    handler, log = make()
    edit = {"image": text(picture_file(100, 64)), "mask": text(mask_file(100, 64))}
    answer = document(handler.respond(call(**edit, strength=0.7)))
    assert answer["warnings"] == ["image: centre-cropped from 100x64 to 64x64."]
    (line,) = log.lines
    assert (line["strength"], line["masked"], line["warnings"]) == (0.7, True, 1)


def test_a_picture_that_is_none_is_the_caller_s_mistake_and_spoils_no_other() -> None:
    handler, log = make()
    picture = text(picture_file())
    replies = handler.respond_batch(
        [call(image=picture), call(image=text(b"GIF89a")), call(image=picture, mask=picture)]
    )
    assert [reply.status for reply in replies] == [200, 400, 400]
    errors = [document(reply)["error"] for reply in replies[1:]]
    assert [(error["type"], error["param"]) for error in errors] == [
        ("invalid_request", "image"),
        ("invalid_request", "mask"),
    ]
    assert not any("traceback" in line for line in log.lines)


def test_a_raw_picture_of_another_format_than_asked_for_is_refused() -> None:
    handler, _ = make()
    reply = handler.respond(call("image/webp"))
    assert reply.status == 400
    assert document(reply)["error"]["message"] == (
        "output_format: png doesn't go with Accept: image/webp"
    )


def test_a_raw_picture_is_one_picture() -> None:
    handler, _ = make()
    reply = handler.respond(call("image/png", num_images=2))
    assert reply.status == 400
    assert document(reply)["error"]["param"] == "num_images"


def test_an_invalid_request_is_told_apart_by_its_type() -> None:
    handler, log = make()
    reply = handler.respond(call(steps=3))
    assert reply.status == 400
    error = document(reply)["error"]
    assert (error["type"], error["param"]) == ("invalid_request", "steps")
    assert "known:" in error["message"]
    assert log.lines[0]["error"] == "invalid_request"


def test_an_unforeseen_failure_is_an_engine_error_with_its_traceback_in_the_log() -> None:
    handler, log = make(FakeParts(before_denoise=failing(ZeroDivisionError("of a kernel"))))
    assert handler.respond(call()).status == 500
    assert "ZeroDivisionError: of a kernel" in str(log.lines[0]["traceback"])


def test_prompts_are_never_logged() -> None:
    handler, log = make()
    word = "zanzibar"
    handler.respond(call(prompt=word))
    handler.respond(call(negative_prompt=word))
    handler.respond(call(prompt=f"{word} " * 200))
    handler.respond(call(prompt=f"{word} " * 100))  # with a warning that quotes it
    handler.respond(Call(f'{{"prompt": "{word}"'.encode()))
    assert len(log.lines) == 5
    assert word not in json.dumps(log.lines)


def test_a_batch_keeps_order_and_a_bad_call_spoils_no_other() -> None:
    parts = FakeParts(max_pictures_per_pass=None)
    handler, log = make(parts)
    calls = [
        call(seed=1),
        call(num_images=9),
        call(seed=2),
        call(num_inference_steps=4),
        Call(b"{"),
        call("image/png", seed=1),
    ]
    replies = handler.respond_batch(calls)
    assert [reply.status for reply in replies] == [200, 400, 200, 200, 400, 200]
    alone, _ = make()
    for one, reply in zip(calls, replies, strict=True):
        expected = alone.respond(one)
        if expected.content_type == "image/png":
            assert reply.body == expected.body
        else:
            assert document(reply).get("images") == document(expected).get("images")
    rows = {len(latents) for latents, _, _ in parts.denoise_calls}
    assert rows == {6, 2}, "three calls of one kind in one batch, the fourth by itself"
    assert len(log.lines) == 6


def test_a_batch_that_fails_spoils_no_other() -> None:
    handler, log = make(FakeParts(before_denoise=failing(RuntimeError("of a kernel"))))
    replies = handler.respond_batch([call(), call(num_inference_steps=4), call(seed=8)])
    assert [reply.status for reply in replies] == [500, 200, 500]
    assert document(replies[0])["error"]["type"] == "engine_error"
    assert log.lines[0]["reason"] == "denoise failed: of a kernel"


def test_an_answer_that_sagemaker_could_not_carry_says_so() -> None:
    engine = Engine(FakeParts(), CONFIG)
    size = len(Handler(engine, CONFIG, LogDouble()).respond(call("image/png")).body)
    just_fits = Handler(engine, CONFIG, LogDouble(), max_answer_bytes=size)
    assert just_fits.respond(call("image/png")).status == 200
    handler = Handler(engine, CONFIG, LogDouble(), max_answer_bytes=100)
    reply = handler.respond(call())
    assert reply.status == 400
    error = document(reply)["error"]
    assert (error["type"], error["param"]) == ("invalid_request", "num_images")
    assert "ask for fewer images" in error["message"]
