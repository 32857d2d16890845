"""What goes wrong as the caller sees it, with nothing internal, and as the log has it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from front_door.handler import serve
from sd_contract.environment import ConfigError
from tests.fakes.front_door import (
    REQUEST_ID,
    World,
    client_error,
    djl_error,
    model_error,
    no_answer,
    no_endpoint,
    post,
    registration,
)

# Each: what is sent or what fails, and the error's status, type, param, code.
REQUEST = "invalid_request_error"
SERVER = "server_error"
MISTAKES: list[tuple[Any, int, str | None, str]] = [
    ({"prompt": "x", "quality": "hd"}, 400, "quality", "unknown_field"),
    ({}, 400, "prompt", "missing_field"),
    ({"prompt": 1}, 400, "prompt", "invalid_type"),
    ({"prompt": "x", "n": 5}, 400, "n", "out_of_range"),
    ({"prompt": "x", "size": "64x64"}, 400, "size", "size_not_served"),
    ({"prompt": "x", "n": 4, "num_inference_steps": 100}, 400, "num_inference_steps", "too_slow"),
    ({"prompt": "x", "model": "sdxl"}, 404, "model", "model_not_found"),
    ("{", 400, None, "invalid_json"),
    (None, 400, None, "invalid_json"),
    ({"prompt": "x" * 40_000}, 413, None, "body_too_large"),
]


@pytest.mark.parametrize(("body", "status", "param", "code"), MISTAKES)
def test_a_mistake_of_the_caller(body: Any, status: int, param: str | None, code: str) -> None:
    world = World()
    got, headers, answer = world.send(post(body))
    assert got == status
    assert headers == {"Content-Type": "application/json", "x-request-id": REQUEST_ID}
    assert set(answer) == {"error"}
    assert answer["error"].pop("message")
    assert answer["error"] == {"type": REQUEST, "param": param, "code": code}
    assert world.runtime.invocations == []


def test_a_wrong_content_type() -> None:
    headers = {"content-TYPE": "text/plain"}
    status, _, body = World().send(post({"prompt": "x"}, headers=headers))
    assert (status, body["error"]["code"]) == (400, "invalid_content_type")


@pytest.mark.parametrize(
    ("method", "resource"), [("GET", "/images/generations"), ("POST", "/models"), ("GET", "/")]
)
def test_an_unknown_route(method: str, resource: str) -> None:
    event = post({"prompt": "x"}, httpMethod=method, resource=resource)
    status, _, body = World().send(event)
    assert (status, body["error"]["code"]) == (404, "not_found")


def breaking(edit: Callable[[World], object]) -> World:
    world = World()
    edit(world)
    return world


INTERNAL = "arn:aws:secret/internal"
FAILURES: list[tuple[Callable[[World], object], int, str, str, str | None]] = [
    (
        lambda w: setattr(w.runtime, "fails", client_error("ThrottlingException", INTERNAL)),
        429,
        "rate_limit_error",
        "rate_limited",
        "2",
    ),
    (
        lambda w: setattr(w.runtime, "fails", client_error("ValidationError", INTERNAL)),
        503,
        SERVER,
        "model_unavailable",
        "30",
    ),
    (
        lambda w: setattr(w.runtime, "fails", ReadTimeoutError(endpoint_url=INTERNAL)),
        504,
        SERVER,
        "timeout",
        None,
    ),
    (
        lambda w: setattr(
            w.runtime,
            "fails",
            model_error({"error": {"type": "engine_error", "message": INTERNAL}}),
        ),
        500,
        SERVER,
        "internal_error",
        None,
    ),
    (
        lambda w: setattr(w.runtime, "fails", RuntimeError(INTERNAL)),
        500,
        SERVER,
        "internal_error",
        None,
    ),
    (
        lambda w: setattr(w.s3, "fails", client_error("AccessDenied", INTERNAL)),
        500,
        SERVER,
        "internal_error",
        None,
    ),
    (
        lambda w: setattr(w.ssm, "fails", client_error("AccessDenied", INTERNAL)),
        500,
        SERVER,
        "internal_error",
        None,
    ),
]


@pytest.mark.parametrize(("edit", "status", "kind", "code", "retry_after"), FAILURES)
def test_a_failure_tells_the_caller_nothing_and_the_log_all(
    edit: Callable[[World], object], status: int, kind: str, code: str, retry_after: str | None
) -> None:
    world = breaking(edit)
    got, headers, body = world.generate(prompt="a red fox")
    assert got == status
    assert headers["x-request-id"] == REQUEST_ID
    assert headers.get("Retry-After") == retry_after
    message = body["error"].pop("message")
    assert body == {"error": {"type": kind, "param": None, "code": code}}
    assert INTERNAL not in message
    [line] = world.logged
    assert (line["request_id"], line["status"]) == (REQUEST_ID, status)
    assert INTERNAL in line["detail"]


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


def test_a_registered_variant_whose_endpoint_isn_t_there_yet_is_a_503() -> None:
    world = World()
    world.runtime.fails = no_endpoint()
    status, headers, body = world.generate(prompt="x")
    assert (status, body["error"]["code"]) == (503, "model_unavailable")
    assert headers["Retry-After"] == "30"
    assert len(world.runtime.invocations) == 1


def test_a_default_that_has_moved_on_is_for_the_next_request() -> None:
    world = World()
    world.generate(prompt="x")
    world.ssm.documents = {"inf2": json.dumps(registration("inf2", default=True))}
    world.runtime.fails = no_endpoint()
    assert world.generate(prompt="x")[0] == 503
    world.runtime.fails = None
    assert world.generate(prompt="x")[2]["model"] == "inf2"


@pytest.mark.parametrize(
    "error",
    [
        no_answer("Amazon SageMaker could not get a response from the sd-g5 endpoint."),
        client_error("ServiceUnavailable", "The service is unavailable. Try your call again."),
        djl_error(503, "WlmCapacityException", "Worker queue capacity exceeded for model: model"),
        djl_error(500, "EngineException", "There are no devices left to create new workers"),
    ],
)
def test_a_container_that_died_or_is_full_is_a_503_and_never_asked_again(error: Exception) -> None:
    world = World()
    world.runtime.fails = error
    status, headers, body = world.generate(prompt="x")
    assert (status, body["error"]["code"]) == (503, "model_unavailable")
    assert headers["Retry-After"] == "30"
    assert len(world.runtime.invocations) == 1


def test_a_wrong_environment_is_a_500_with_the_reason_in_the_log() -> None:
    def broken() -> Any:
        raise ConfigError(["SD_URL_TTL_S is missing"])

    lines: list[str] = []
    response = serve(post({"prompt": "x"}), "", broken, lines.append)
    assert response["statusCode"] == 500
    assert "SD_URL_TTL_S" not in response["body"]
    assert "SD_URL_TTL_S is missing" in json.loads(lines[0])["detail"]


@pytest.mark.parametrize("event", [{}, {"requestContext": None}, {"httpMethod": "GET"}])
def test_an_event_that_isn_t_the_gateway_s_is_a_500_under_the_invocation_s_id(event: Any) -> None:
    status, headers, _ = World().send(event)
    assert (status, headers["x-request-id"]) == (500, "invocation")
