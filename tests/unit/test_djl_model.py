"""DJL's entry point: batches in, one Output out, on a model that needs no weights."""

from __future__ import annotations

import base64
import importlib
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from djl.batch_engine import CALLERS_WAIT_S, PATIENT_S, BatchEngine
from local_cloud.djl.batching import pack, unpack
from local_cloud.djl.messages import Input, Output, provide
from sd_contract.embeddings import embeddings_invocation, read_embeddings
from sd_contract.invocation import Edit
from sd_contract.limits import PATIENT
from sd_serving.engine import Engine
from tests.fakes.djl_hosting import image_environment
from tests.fakes.serving import (
    FakeParts,
    LogDouble,
    config,
    failing,
    mask_file,
    picture_file,
    pixels,
    request,
)

CONFIG = config()
TOLERANCE = 1
"""Of 255: another batch size may round a value to the next one."""


@pytest.fixture(scope="module")
def model() -> Any:
    provide()
    return importlib.import_module("djl.model")


def service(
    model: Any, parts: FakeParts | None = None, clock: Callable[[], float] = time.monotonic
) -> tuple[Any, LogDouble]:
    log = LogDouble()
    parts = parts or FakeParts(max_pictures_per_pass=8)
    engine = BatchEngine(parts, CONFIG, clock)
    # What it does at its end stands in the log.
    return model.DjlService(engine, CONFIG, log, lambda status: log("left", status=status)), log


def djl_input(edit: Edit | None = None, **fields: object) -> Input:
    made = Input()
    if edit:
        written = json.loads(request(edit=edit).to_json())
        fields |= {name: written[name] for name in vars(edit) if name in written}
    body = {"prompt": "a red circle", "num_inference_steps": 3, "seed": 7, **fields}
    made.content.add("data", json.dumps(body).encode())
    return made


def with_header(made: Input, name: str, value: str) -> Input:
    made.properties[name] = value
    return made


def documents(output: Output, size: int) -> list[Any]:
    assert output.properties["content-type"] == "application/json"
    return [json.loads(each.content.value_at(0)) for each in unpack(output, size)]


def answers_of(made: Any, *wanted: Mapping[str, Any]) -> list[Any]:
    """Of one batch."""
    return documents(made.answer(pack([djl_input(**each) for each in wanted])), len(wanted))


def assert_as_alone(document: Any, **fields: object) -> None:
    (expected,) = Engine(FakeParts(), CONFIG).generate([request(**fields)])
    assert document["seeds"] == list(expected.seeds)
    for image, png in zip(document["images"], expected.images, strict=True):
        assert np.abs(pixels(base64.b64decode(image)) - pixels(png)).max() <= TOLERANCE


def events(log: LogDouble) -> list[object]:
    return [line["event"] for line in log.lines]


def batch_line(log: LogDouble) -> Any:
    (line,) = [line for line in log.lines if line["event"] == "batch"]
    return line


def test_texts_are_embedded_in_a_batch_with_pictures(model: Any) -> None:
    made, log = service(model)
    texts = Input()
    texts.content.add("data", embeddings_invocation(["a red heart", "x"]))
    output = made.answer(pack([djl_input(seed=1), texts]))
    picture, answer = documents(output, 2)
    assert_as_alone(picture, seed=1)
    assert len(read_embeddings(json.dumps(answer).encode())) == 2
    assert (batch_line(log)["requests"], batch_line(log)["errors"]) == (2, 0)
    alone = made.answer(pack([texts]))
    assert json.loads(alone.content.value_at(0)) == answer


def test_incompatible_requests_are_grouped_and_a_bad_one_spoils_no_other(model: Any) -> None:
    made, log = service(model)
    wanted: list[dict[str, Any]] = [
        {"seed": 1},
        {"seed": 2, "guidance_scale": 2.0},
        {"seed": 3, "num_images": 3},
        {"seed": 4, "num_inference_steps": 4},
        {"seed": 5, "height": 128, "width": 64},
        {"seed": 6, "guidance_scale": 2.0},
        {"seed": 7, "edit": Edit(picture_file(), strength=0.7)},
        {"seed": 8, "edit": Edit(picture_file(grey=9), mask_file(), 0.7)},
        {"seed": 9, "edit": Edit(picture_file(), strength=1.0)},
    ]
    inputs = [*(djl_input(**each) for each in wanted), djl_input(num_images=9)]
    inputs[-1].properties["content-type"] = "application/json"
    output = made.answer(pack(inputs))
    assert output.code == 200  # a batch has but one, and above 299 all get the same answer
    *answers, bad = documents(output, len(inputs))
    for answer, fields in zip(answers, wanted, strict=True):
        assert_as_alone(answer, **fields)
    assert (bad["error"]["type"], bad["error"]["param"]) == ("invalid_request", "num_images")
    assert [answer["engine"]["batch"] for answer in answers] == [2, 2, 2, 1, 1, 2, 2, 2, 1]
    line = batch_line(log)
    assert (line["requests"], line["errors"]) == (10, 1)
    groups = line["groups"]
    assert (groups[0]["size"], groups[0]["steps"], groups[0]["outcome"]) == ("64x64", 3, "ok")
    assert [(group["requests"], group["images"]) for group in groups] == [
        (2, 4),
        (2, 2),
        (1, 1),
        (1, 1),
        (2, 2),
        (1, 1),
    ]
    assert [group["strength"] for group in groups] == [None, None, None, None, 0.7, 1.0]


def full_above(rows: int, times: int = 1_000) -> FakeParts:
    """Out of memory for more rows, the first `times` times."""
    left = [times]

    def noise_of(noise: torch.Tensor) -> torch.Tensor:
        if len(noise) > rows and left[0]:
            left[0] -= 1
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return noise

    return FakeParts(max_pictures_per_pass=8, noise_of=noise_of)


def broken_kernel(times: int = 1) -> FakeParts:
    fails = failing(RuntimeError("a broken kernel"), times)
    return FakeParts(max_pictures_per_pass=8, before_denoise=fails)


def test_what_is_too_much_together_is_done_alone(model: Any) -> None:
    made, log = service(model, full_above(2))
    answers = answers_of(made, *({"seed": seed} for seed in range(3)))
    for seed, answer in enumerate(answers):
        assert_as_alone(answer, seed=seed)
        assert answer["engine"]["batch"] == 1
    outcomes = [(each["requests"], each["outcome"]) for each in batch_line(log)["groups"]]
    assert outcomes == [(3, "out_of_memory"), (1, "ok"), (1, "ok"), (1, "ok")]


def test_what_is_too_much_alone_fails_alone(model: Any) -> None:
    # Together, and then the second alone.
    made, log = service(model, full_above(2, times=2))
    fine, failed = answers_of(made, {"seed": 1}, {"seed": 2, "num_images": 2})
    assert_as_alone(fine, seed=1)
    assert failed["error"]["type"] == "engine_error"
    assert "out of memory in denoise" in failed["error"]["message"]
    assert batch_line(log)["errors"] == 1
    next_one = made.answer(djl_input(seed=3))
    assert next_one.code == 200
    assert_as_alone(json.loads(next_one.content.value_at(0)), seed=3)


def test_other_failures_are_not_tried_again(model: Any) -> None:
    made, log = service(model, broken_kernel())
    assert {answer["error"]["type"] for answer in answers_of(made, {}, {})} == {"engine_error"}
    (group,) = batch_line(log)["groups"]
    assert group["outcome"] == "failed"


@pytest.mark.parametrize("together", [1, 2])
def test_a_process_that_cannot_compute_any_more_leaves_after_its_answer(
    model: Any, together: int, capsys: pytest.CaptureFixture[str]
) -> None:
    made, log = service(model, broken_kernel(times=1_000))
    inputs = [djl_input() for _ in range(together)]
    output = made.answer(pack(inputs) if together > 1 else inputs[0])
    assert output.code == (500 if together == 1 else 200)
    assert events(log)[-1] == "broken"
    assert capsys.readouterr().out == "FATAL: denoise failed: a broken kernel\n"
    output.execute_finalize()
    assert log.lines[-1] == {"event": "left", "status": 1}


def test_a_process_that_still_computes_stays(model: Any) -> None:
    made, log = service(model, broken_kernel())
    output = made.answer(djl_input())
    output.execute_finalize()
    assert (output.code, events(log)) == (500, ["invocation", "batch"])
    assert made.answer(djl_input()).code == 200


def test_a_refused_request_is_no_reason_to_check_the_process(model: Any) -> None:
    parts = FakeParts(max_pictures_per_pass=8)
    made, _ = service(model, parts)
    made.answer(djl_input(seed=-1)).execute_finalize()
    assert parts.denoise_calls == []


def test_a_batch_ends_when_its_callers_are_gone(model: Any) -> None:
    """Or the largest that the limits allow would run into DJL's PREDICT_TIMEOUT, which costs the
    process."""
    now = [0.0]

    def slow() -> None:
        now[0] += 25.0

    parts = FakeParts(max_pictures_per_pass=8, before_denoise=slow)
    made, log = service(model, parts, lambda: now[0])
    wanted = ((1, 2), (2, 9), (-1, 3))
    inputs = [djl_input(seed=seed, num_inference_steps=steps) for seed, steps in wanted]
    output = made.answer(pack(inputs))
    first, given_up, bad = documents(output, 3)
    assert_as_alone(first, seed=1, num_inference_steps=2)
    assert given_up["error"]["type"] == "engine_error"
    assert "nobody waits" in given_up["error"]["message"]
    assert bad["error"]["type"] == "invalid_request"
    outcomes = [group["outcome"] for group in batch_line(log)["groups"]]
    assert outcomes == ["ok", "gave_up"]
    # The first one's two steps, and one of the second's; no picture was drawn to check the process.
    assert now == [75.0]
    output.execute_finalize()
    assert "left" not in events(log)
    # The next batch has its own time.
    assert made.answer(djl_input(num_inference_steps=2)).code == 200


def test_a_batch_of_those_that_wait_longer_has_longer(model: Any) -> None:
    """An asynchronous endpoint's; one caller that doesn't wait ends it for all."""
    now = [0.0]

    def slow() -> None:
        now[0] += 25.0

    parts = FakeParts(max_pictures_per_pass=8, before_denoise=slow)
    made, _ = service(model, parts, lambda: now[0])

    def asked(steps: int) -> Input:
        return with_header(djl_input(num_inference_steps=steps), PATIENT, "yes")

    first, second = documents(made.answer(pack([asked(3), asked(4)])), 2)
    assert "error" not in first | second
    assert now == [175.0]
    alone = json.loads(made.answer(asked(9)).content.value_at(0))
    assert "after 180 s nobody waits" in alone["error"]["message"]
    first, second = documents(made.answer(pack([asked(2), djl_input(num_inference_steps=9)])), 2)
    assert "after 60 s nobody waits" in second["error"]["message"]


def test_what_is_done_again_alone_ends_as_well(model: Any) -> None:
    now = [0.0]
    parts = full_above(2)

    def slow() -> None:
        now[0] += 25.0

    parts.before_denoise = slow
    made, log = service(model, parts, lambda: now[0])
    answers_of(made, {}, {}, {})
    outcomes = [group["outcome"] for group in batch_line(log)["groups"]]
    assert outcomes == ["out_of_memory", "gave_up", "gave_up", "gave_up"]


def test_predict_timeout_is_above_what_a_batch_may_take() -> None:
    # The rest is for the check of the process, and a step that compiles.
    assert int(image_environment()["PREDICT_TIMEOUT"]) >= max(2 * CALLERS_WAIT_S, 1.25 * PATIENT_S)


@pytest.mark.parametrize(
    ("fields", "code", "message", "kind"),
    [
        ({"steps": 3}, 400, "Bad Request", "invalid_request"),
        ({}, 500, "Internal Server Error", "engine_error"),
    ],
)
def test_a_lone_request_gets_its_own_status(
    model: Any, fields: dict[str, Any], code: int, message: str, kind: str
) -> None:
    made, _ = service(model, full_above(1))
    output = made.answer(djl_input(**fields))
    assert (output.code, output.message) == (code, message)
    assert json.loads(output.content.value_at(0))["error"]["type"] == kind


def test_a_lone_request_may_have_the_raw_picture(model: Any) -> None:
    made, _ = service(model)
    output = made.answer(with_header(djl_input(seed=11), "Accept", "image/png"))
    assert output.properties["content-type"] == "image/png"
    assert output.properties["X-Amzn-SageMaker-Custom-Attributes"] == "seed=11"
    assert output.content.value_at(0).startswith(b"\x89PNG")


def test_a_batch_has_one_content_type(model: Any) -> None:
    made, _ = service(model)
    output = made.answer(
        pack([with_header(djl_input(seed=s), "accept", "image/png") for s in (1, 2)])
    )
    for seed, answer in zip((1, 2), documents(output, 2), strict=True):
        assert_as_alone(answer, seed=seed)


@pytest.mark.parametrize("name", ["request_id", "X-Amzn-SageMaker-Inference-Id"])
def test_the_log_carries_the_caller_s_id(model: Any, name: str) -> None:
    made, log = service(model)
    made.answer(with_header(djl_input(), name, "id-42"))
    made.answer(with_header(djl_input(), name, "not an id"))
    ids = [line["request_id"] for line in log.lines if line["event"] == "invocation"]
    assert ids[0] == "id-42"
    assert re.fullmatch("[0-9a-f]{32}", str(ids[1]))
