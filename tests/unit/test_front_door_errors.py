"""What goes wrong as the caller sees it, with nothing internal, and as the log has it."""

from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from tests.fakes.front_door import (
    REQUEST_ID,
    World,
    client_error,
    model_error,
    no_endpoint,
    post,
    registration,
)

# Each: what is sent, and the error's status, param, code.
PICTURE = {"prompt": "x"}
MISTAKES: list[tuple[dict[str, Any], int, str | None, str]] = [
    (post({**PICTURE, "quality": "hd"}), 400, "quality", "unknown_field"),
    (post({}), 400, "prompt", "missing_field"),
    (post({**PICTURE, "n": "2"}), 400, "n", "invalid_type"),
    (post({**PICTURE, "n": 5}), 400, "n", "out_of_range"),
    (post({**PICTURE, "size": "256x256"}), 400, "size", "size_not_served"),
    (post({**PICTURE, "n": 4, "num_inference_steps": 100}), 400, "num_inference_steps", "too_slow"),
    (post({**PICTURE, "model": "sdxl"}), 404, "model", "model_not_found"),
    (post('{"prompt": }'), 400, None, "invalid_json"),
    (post({"prompt": "x" * 40_000}), 413, None, "body_too_large"),
    (post(PICTURE, headers={"content-TYPE": "text/plain"}), 400, None, "invalid_content_type"),
    (post(PICTURE, httpMethod="GET"), 404, None, "not_found"),
    (post(PICTURE, resource="/models"), 404, None, "not_found"),
    (post(PICTURE, resource="/"), 404, None, "not_found"),
]


@pytest.mark.parametrize(("event", "status", "param", "code"), MISTAKES)
def test_a_mistake_of_the_caller(
    event: dict[str, Any], status: int, param: str | None, code: str
) -> None:
    world = World()
    got, headers, answer = world.send(event)
    assert got == status
    assert headers == {"Content-Type": "application/json", "x-request-id": REQUEST_ID}
    assert set(answer) == {"error"}
    assert answer["error"].pop("message")
    assert answer["error"] == {"type": "invalid_request_error", "param": param, "code": code}
    assert world.runtime.invocations == []


def test_no_body_is_an_empty_one() -> None:
    assert World().send(post(None))[2]["error"]["message"].startswith("the body is empty")


# Each: the error's status, type, code, and when to try again.
THROTTLED = (429, "rate_limit_error", "rate_limited", "2")
UNAVAILABLE = (503, "server_error", "model_unavailable", "30")
TIMEOUT = (504, "server_error", "timeout", None)
INTERNAL = (500, "server_error", "internal_error", None)
PRIVATE = "arn:aws:secret/internal"  # only the log may tell it
# Each: the part that fails, how, and what comes of it.
FAILURES: list[tuple[str, Exception, tuple[int, str, str, str | None]]] = [
    ("runtime", client_error("ThrottlingException", PRIVATE), THROTTLED),
    ("runtime", client_error("ValidationError", PRIVATE), UNAVAILABLE),
    ("runtime", no_endpoint(PRIVATE), UNAVAILABLE),  # registered before it is there
    ("runtime", ReadTimeoutError(endpoint_url=PRIVATE), TIMEOUT),
    ("runtime", model_error({"error": {"type": "engine_error", "message": PRIVATE}}), INTERNAL),
    ("runtime", RuntimeError(PRIVATE), INTERNAL),
    ("s3", client_error("AccessDenied", PRIVATE), INTERNAL),
    ("ssm", client_error("AccessDenied", PRIVATE), INTERNAL),
]


@pytest.mark.parametrize(("part", "error", "answer"), FAILURES)
def test_a_failure_tells_the_caller_nothing_and_the_log_all(
    part: str, error: Exception, answer: tuple[int, str, str, str | None]
) -> None:
    world = World()
    getattr(world, part).fails = error
    got, headers, body = world.generate(prompt="a red fox")
    status, kind, code, retry_after = answer
    assert got == status
    assert headers["x-request-id"] == REQUEST_ID
    assert headers.get("Retry-After") == retry_after
    message = body["error"].pop("message")
    assert body == {"error": {"type": kind, "param": None, "code": code}}
    assert PRIVATE not in message
    [line] = world.logged
    assert (line["request_id"], line["status"]) == (REQUEST_ID, status)
    assert PRIVATE in line["detail"]
    assert len(world.runtime.invocations) == (part != "ssm")


def test_a_variant_just_destroyed_is_a_404_at_once() -> None:
    world = World()
    assert world.generate(prompt="x")[0] == 200
    world.ssm.documents.clear()
    world.runtime.fails = no_endpoint()
    world.clock.now += 1  # far within the cache's minute
    for model in ({}, {"model": "g5"}):
        status, headers, body = world.generate(prompt="x", **model)
        assert (status, body["error"]["code"]) == (404, "model_not_found")
        assert "Retry-After" not in headers
    # Once for the first of the two; the second knows.
    assert len(world.runtime.invocations) == 2


def test_a_default_that_has_moved_on_is_for_the_next_request() -> None:
    world = World()
    world.generate(prompt="x")
    world.ssm.documents = {"inf2": registration("inf2", default=True)}
    world.runtime.fails = no_endpoint()
    assert world.generate(prompt="x")[0] == 503
    world.runtime.fails = None
    assert world.generate(prompt="x")[2]["model"] == "inf2"


@pytest.mark.parametrize("event", [{}, {"requestContext": None}, {"httpMethod": "GET"}])
def test_an_event_that_isn_t_the_gateway_s_is_a_500_under_the_invocation_s_id(event: Any) -> None:
    status, headers, _ = World().send(event)
    assert (status, headers["x-request-id"]) == (500, "invocation")
