"""What goes wrong as the caller sees it, with nothing internal, and as the log has it."""

from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from tests.fakes.front_door import (
    REQUEST_ID,
    FakeRuntime,
    World,
    client_error,
    djl_error,
    edit,
    engine_error,
    get,
    no_answer,
    no_endpoint,
    post,
    registration,
)

# Each: what is sent, and the error's status, param, code.
PICTURE = {"prompt": "x"}
GONE = "2026-11-22/c6af9ac6-7b61-11e6-9a41-93e8deadbeef/7.png"
FORM = "multipart/form-data; boundary=b"
MISTAKES: list[tuple[dict[str, Any], int, str | None, str]] = [
    (post({**PICTURE, "steps": 30}), 400, "steps", "unknown_field"),
    (post({**PICTURE, "background": "transparent"}), 400, "background", "unsupported"),
    (post({**PICTURE, "quality": "hd"}), 400, "quality", "out_of_range"),
    (post({}), 400, "prompt", "missing_field"),
    (post({**PICTURE, "n": "2"}), 400, "n", "invalid_type"),
    (post({**PICTURE, "n": 5}), 400, "n", "out_of_range"),
    (post({**PICTURE, "size": "256x256"}), 400, "size", "size_not_served"),
    (post({**PICTURE, "n": 4, "num_inference_steps": 100}), 400, "num_inference_steps", "too_slow"),
    (post({**PICTURE, "model": "sdxl"}), 404, "model", "model_not_found"),
    (post('{"prompt": }'), 400, None, "invalid_json"),
    (post({"prompt": "x" * 40_000}), 413, None, "body_too_large"),
    (post(PICTURE, headers={"content-TYPE": "text/plain"}), 400, None, "invalid_content_type"),
    (post(PICTURE, headers={"Content-Encoding": "gzip"}), 400, None, "invalid_content_encoding"),
    (get("/models/{id}", pathParameters={"id": "sdxl"}), 404, "model", "model_not_found"),
    (post(PICTURE, httpMethod="GET"), 405, None, "method_not_allowed"),
    (post(PICTURE, resource="/"), 404, None, "not_found"),
    (post(PICTURE, resource="/{proxy+}"), 404, None, "not_found"),
    (edit({**PICTURE}), 400, "image", "missing_field"),
    (edit({**PICTURE, "image": "fox.png"}), 400, "image", "invalid_base64"),
    (edit({**PICTURE, "image": "https://x/fox.png"}), 400, "image", "out_of_range"),
    (edit({**PICTURE, "image": ""}), 400, "image", "out_of_range"),
    (edit({**PICTURE, "image": GONE}), 404, "image", "picture_not_found"),
    (edit("--b", headers={"Content-Type": FORM}), 400, None, "invalid_form"),
    (edit("x" * 4_500_001), 413, None, "body_too_large"),
]


@pytest.mark.parametrize(("event", "status", "param", "code"), MISTAKES)
def test_a_mistake_of_the_caller(
    event: dict[str, Any], status: int, param: str | None, code: str
) -> None:
    world = World()
    got, headers, answer = world.send(event)
    assert got == status
    assert headers.pop("Allow", None) == ("POST" if status == 405 else None)
    assert headers == {
        "Content-Type": "application/json",
        "x-request-id": REQUEST_ID,
        "x-should-retry": "false",
    }
    assert set(answer) == {"error"}
    assert answer["error"].pop("message")
    assert answer["error"] == {"type": "invalid_request_error", "param": param, "code": code}
    assert world.runtime.invocations == []


def test_no_body_is_an_empty_one() -> None:
    assert World().send(post(None))[2]["error"]["message"].startswith("the body is empty")


# Each: the error's status, type, code, and when to try again.
THROTTLED = (429, "rate_limit_error", "rate_limited", "2")
UNAVAILABLE = (503, "server_error", "model_unavailable", "30")
NOT_IN_SERVICE = (503, "server_error", "model_not_in_service", "30")
STARTING = (503, "server_error", "model_starting", "60")
OVERLOADED = (503, "server_error", "model_overloaded", "5")
INTERRUPTED = (503, "server_error", "model_interrupted", None)
TIMEOUT = (504, "server_error", "timeout", None)
INTERNAL = (500, "server_error", "internal_error", None)
PRIVATE = "arn:aws:secret/internal"  # only the log may tell it
NO_CAPACITY = f"Inference Component has no capacity to process this request. {PRIVATE}"
# Each: the part that fails, how, what comes of it, how often the endpoint is called, and whether
# OpenAI's clients are to send the request again.
FAILURES: list[tuple[str, Exception, tuple[int, str, str, str | None], int, bool]] = [
    ("runtime", client_error("ThrottlingException", PRIVATE), THROTTLED, 3, True),
    ("runtime", client_error("ServiceUnavailable", PRIVATE), UNAVAILABLE, 3, True),
    ("runtime", EndpointConnectionError(endpoint_url=PRIVATE), UNAVAILABLE, 3, True),
    ("runtime", no_endpoint(PRIVATE), NOT_IN_SERVICE, 1, True),
    ("runtime", client_error("ValidationError", NO_CAPACITY), STARTING, 1, True),
    ("runtime", no_answer(PRIVATE), INTERRUPTED, 1, False),
    ("runtime", ReadTimeoutError(endpoint_url=PRIVATE), TIMEOUT, 1, False),
    ("runtime", engine_error(PRIVATE), INTERNAL, 1, False),
    ("runtime", RuntimeError(PRIVATE), INTERNAL, 1, False),
    ("s3", client_error("AccessDenied", PRIVATE), INTERNAL, 1, False),
    ("ssm", client_error("AccessDenied", PRIVATE), INTERNAL, 0, True),
]


@pytest.mark.parametrize(("part", "error", "answer", "calls", "again"), FAILURES)
def test_a_failure_tells_the_caller_nothing_and_the_log_all(
    part: str,
    error: Exception,
    answer: tuple[int, str, str, str | None],
    calls: int,
    again: bool,
) -> None:
    world = World()
    getattr(world, part).fails = error
    got, headers, body = world.generate(prompt="a red fox")
    status, kind, code, retry_after = answer
    assert got == status
    assert headers["x-request-id"] == REQUEST_ID
    assert headers.get("Retry-After") == retry_after
    assert headers.get("x-should-retry") == (None if again else "false")
    message = body["error"].pop("message")
    assert body == {"error": {"type": kind, "param": None, "code": code}}
    assert PRIVATE not in message
    [line] = world.logged
    assert (line["request_id"], line["status"]) == (REQUEST_ID, status)
    assert PRIVATE in line["detail"]
    assert len(world.runtime.invocations) == calls


def test_a_full_queue_says_when_to_come_back() -> None:
    full = djl_error(503, "WlmCapacityException", "Worker queue capacity exceeded")
    status, headers, body = World(runtime=FakeRuntime(fails=full)).generate(prompt="x")
    assert (status, body["error"]["type"], body["error"]["code"]) == OVERLOADED[:3]
    assert headers["Retry-After"] == "5"
    assert "x-should-retry" not in headers


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


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/images/generations", "POST"),
        ("/images/edits", "POST"),
        ("/embeddings", "POST"),
        ("/models", "GET"),
        ("/models/{id}", "GET"),
        ("/openapi.json", "GET"),
    ],
)
@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_known_path_s_other_methods_are_405s_that_say_which_it_has(
    path: str, allowed: str, method: str
) -> None:
    status, headers, body = World().send(post(None, resource=path, httpMethod=method))
    assert (status, headers["Allow"]) == (405, allowed)
    assert body["error"]["message"] == f"The path takes {allowed}."


@pytest.mark.parametrize("event", [{}, {"requestContext": None}, {"httpMethod": "GET"}])
def test_an_event_that_isn_t_the_gateway_s_is_a_500_under_the_invocation_s_id(event: Any) -> None:
    status, headers, _ = World().send(event)
    assert (status, headers["x-request-id"]) == (500, "invocation")
