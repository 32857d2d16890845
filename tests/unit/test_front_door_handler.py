"""The whole front door but for AWS: an event in, a response and a log line out."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from front_door.handler import serve
from sd_contract.environment import ConfigError
from tests.unit.front_door_fakes import (
    CONFIG,
    PNG,
    REGISTRATION,
    REQUEST_ID,
    FakeRuntime,
    World,
    client_error,
    djl_error,
    get_models,
    model_error,
    no_answer,
    no_endpoint,
    post,
    registration,
)


def test_a_picture_by_url() -> None:
    world = World()
    status, headers, body = world.generate(prompt="a red fox", n=2, seed=7)
    assert status == 200
    assert headers == {"Content-Type": "application/json", "x-request-id": REQUEST_ID}
    key = f"2026-11-22/{REQUEST_ID}"
    assert body == {
        "created": 1795377600,
        "model": "g5",
        "data": [
            {"url": f"https://pictures/{key}/{seed}.png?get_object&3600", "seed": seed}
            for seed in (7, 8)
        ],
        "timings_ms": {
            "text_encoder": 1.5,
            "denoise": 20,
            "vae_decode": 3,
            "png": 1,
            "endpoint": 0,
            "storage": 0,
            "total": 0,
        },
    }
    assert world.s3.objects[f"{key}/8.png"]["Body"] == PNG + b"8"


def test_a_picture_in_the_response() -> None:
    world = World()
    status, _, body = world.generate(prompt="a red fox", response_format="b64_json", seed=7)
    assert status == 200
    assert [base64.b64decode(image["b64_json"]) for image in body["data"]] == [PNG + b"7"]
    assert world.s3.objects == {}


def test_a_seed_is_drawn_and_echoed() -> None:
    world = World()  # draws the highest
    _, _, body = world.generate(prompt="a red fox", n=2)
    assert [image["seed"] for image in body["data"]] == [2**32 - 1, 0]
    assert world.runtime.invocations[0]["Body"]["seed"] == 2**32 - 1


def test_an_image_made_alone_asks_for_the_same_noise() -> None:
    world = World()
    _, _, body = world.generate(prompt="a red fox", n=3, seed=2**32 - 1, response_format="b64_json")
    for image in body["data"]:
        _, _, alone = world.generate(
            prompt="a red fox", seed=image["seed"], response_format="b64_json"
        )
        assert alone["data"] == [image]


def test_the_model_asked_for_serves() -> None:
    world = World()
    world.ssm.documents["inf2"] = json.dumps(registration("inf2", default_steps=9))
    _, _, body = world.generate(prompt="a red fox", model="inf2")
    assert body["model"] == "inf2"
    [call] = world.runtime.invocations
    assert (call["EndpointName"], call["Body"]["num_inference_steps"]) == ("sd-inf2", 9)


def test_a_base64_body() -> None:
    encoded = base64.b64encode(b'{"prompt": "a red fox"}').decode()
    status, _, _ = World().send(post(encoded, isBase64Encoded=True))
    assert status == 200


def test_timings_come_from_the_timer() -> None:
    ticks = iter(range(100))
    world = World()
    response = serve(
        post({"prompt": "x"}), "", lambda: world.front_door, lambda _: None, lambda: next(ticks)
    )
    timings = json.loads(response["body"])["timings_ms"]
    assert (timings["endpoint"], timings["storage"], timings["total"]) == (1000, 1000, 5000)


def test_models_are_listed_in_openai_s_shape_with_what_they_registered() -> None:
    world = World()
    world.ssm.documents["djl"] = json.dumps(registration("djl"))
    status, headers, body = world.send(get_models())
    assert (status, headers["x-request-id"]) == (200, REQUEST_ID)
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["djl", "g5"]
    registered = {key: value for key, value in REGISTRATION.items() if key != "name"}
    assert body["data"][1] == {
        "id": "g5",
        "object": "model",
        "created": 1795377600,
        "owned_by": "sd2-community",
        **registered,
        "default": True,  # the configured one, whatever it registered
    }
    assert body["data"][0]["default"] is False


def test_an_empty_list_of_models() -> None:
    world = World()
    world.ssm.documents.clear()
    assert world.send(get_models())[2] == {"object": "list", "data": []}


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


def test_a_response_lambda_couldn_t_return_points_to_url() -> None:
    world = World(runtime=FakeRuntime(padding=1_200_000))
    status, _, body = world.generate(prompt="x", n=4, response_format="b64_json")
    assert status == 400
    assert body["error"]["param"] == "response_format"
    assert body["error"]["code"] == "response_too_large"
    assert 'use "url", or a smaller n' in body["error"]["message"]
    assert world.generate(prompt="x", n=3, response_format="b64_json")[0] == 200
    assert world.generate(prompt="x", n=4)[0] == 200


def test_a_response_just_within_lambda_s_limit_passes() -> None:
    def size(padding: int) -> tuple[int, int]:
        world = World(runtime=FakeRuntime(padding=padding))
        event = post({"prompt": "x", "response_format": "b64_json"})
        response = serve(event, "", lambda: world.front_door, lambda _: None)
        return response["statusCode"], len(json.dumps(response))

    limit = 6 * 1024 * 1024
    status, length = size((limit - 2000) * 3 // 4)
    assert status == 200
    assert limit - 2000 < length <= limit
    assert size(limit * 3 // 4)[0] == 400


def test_the_time_limit_is_the_configured_one() -> None:
    slow = {"prompt": "x", "n": 4, "num_inference_steps": 100}  # 40 s by its figures
    assert World(config=replace(CONFIG, gateway_timeout_s=42)).generate(**slow)[0] == 400
    assert World(config=replace(CONFIG, gateway_timeout_s=43)).generate(**slow)[0] == 200
