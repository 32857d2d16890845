"""docs/operations.md's table of what can be the matter with an endpoint: each line provoked."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from openai import OpenAI

from stacks.settings import ROOT
from tests.fakes.front_door import (
    FakeObjectStore,
    FakeParameterStore,
    FakeRuntime,
    World,
    client_error,
    djl_error,
    edit,
    engine_error,
    model_error,
    no_answer,
    no_endpoint,
    post,
    registration,
)


@dataclass
class Going(FakeParameterStore):
    """Registrations that are gone at the second reading."""

    def paginate(self, **kwargs: Any) -> Any:
        yield from super().paginate(**kwargs)
        self.documents.clear()


NO_CAPACITY = "Inference Component has no capacity to process this request."
NOT_READY = {"error": {"type": "engine_error", "message": "the model is not loaded"}}
REFUSED = {"error": {"type": "invalid_request", "param": "seed", "message": "seed: too large"}}
PICTURE = post({"prompt": "x"})
KEPT = "2026-11-22/id/7.png"
Trouble = tuple[World, dict[str, Any]]


def fails(error: Exception, **more: Any) -> Callable[[], Trouble]:
    return lambda: (World(runtime=FakeRuntime(fails=error), **more), PICTURE)


def gone() -> Trouble:
    registrations = Going(dict(World().ssm.documents))
    return World(runtime=FakeRuntime(fails=no_endpoint()), ssm=registrations), PICTURE


COMMAND = "python -m operations start g5"
STOPPED = {"since": "2026-11-25T12:00:00+00:00", "why": "no request for 2 h", "start": COMMAND}


def stopped() -> Trouble:
    kept = FakeParameterStore({"g5": registration(stopped=STOPPED)})
    return World(runtime=FakeRuntime(fails=no_endpoint()), ssm=kept), PICTURE


def large_pictures_sent() -> Trouble:
    kept = FakeObjectStore(objects={KEPT: {"Body": bytes(5_000_000)}})
    return World(s3=kept), edit({"prompt": "x", "image": KEPT})


def large_pictures_drawn() -> Trouble:
    world = World(runtime=FakeRuntime(padding=1_200_000))
    return world, post({"prompt": "x", "n": 4, "response_format": "b64_json"})


CASES: dict[str, Callable[[], Trouble]] = {
    # As tests/unit/local_cloud/test_front_door.py has of a real update.
    "the endpoint is updating": lambda: (World(), PICTURE),
    "it is not in service: being made, or failed": fails(no_endpoint()),
    "it is stopped": stopped,
    "it has no instance: scaled to zero, one may be starting": fails(
        client_error("ValidationError", NO_CAPACITY)
    ),
    "it is gone with its variant": gone,
    "it has no healthy container": fails(client_error("ServiceUnavailable")),
    "it can't be reached": fails(EndpointConnectionError(endpoint_url="https://x")),
    "SageMaker throttles": fails(client_error("ThrottlingException")),
    "the container's queue is full": fails(djl_error(503, "WlmCapacityException", "full")),
    "the container has not loaded, or has no worker": fails(model_error(NOT_READY, 503)),
    "the container refuses a field": fails(model_error(REFUSED, 400)),
    "the container fails": fails(engine_error("out of memory")),
    "the container dies meanwhile": fails(no_answer("could not get a response")),
    "the connection ends before the answer": fails(ConnectionClosedError(endpoint_url="https://x")),
    "the answer comes too late": fails(ReadTimeoutError(endpoint_url="https://x")),
    "an edit's pictures are more than SageMaker carries": large_pictures_sent,
    "the pictures drawn are more than SageMaker carries": fails(
        model_error("Response payload size exceeded the limit", 413)
    ),
    "they are more than Lambda carries as `b64_json`": large_pictures_drawn,
    # By a function that answers nothing.
    "a picture can't be signed, where it is to be": lambda: (World(signs=lambda _: None), PICTURE),
    "a picture can't be stored": lambda: (
        World(s3=FakeObjectStore(fails=client_error("SlowDown"))),
        PICTURE,
    ),
    "the registrations can't be read": lambda: (
        World(ssm=replace(FakeParameterStore({}), fails=client_error("InternalServerError"))),
        PICTURE,
    ),
}


def documented() -> dict[str, list[str]]:
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text.split("## When a request fails\n")[1].split("\n\n")[0]
    _, _, *rows = ([cell.strip() for cell in line.split("|")] for line in section.splitlines())
    return {row[1]: row[2:-1] for row in rows}


def test_each_line_has_its_case() -> None:
    assert list(documented()) == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_trouble_is_told_as_documented(name: str) -> None:
    answer, retry_after, calls, again = documented()[name]
    world, event = CASES[name]()
    status, headers, body = world.send(event)
    said = f"{status} `{body['error']['code']}`" if status != 200 else str(status)
    assert said == re.split(":", answer)[0]
    assert headers.get("Retry-After", "") == retry_after
    assert len(world.runtime.invocations) == int(calls)
    if status != 200:
        response = httpx2.Response(status, headers=headers)
        assert OpenAI(api_key="key")._should_retry(response) == {"yes": True, "no": False}[again]


def test_who_meets_a_stopped_model_is_told_the_command_and_the_log_why() -> None:
    world, event = stopped()
    _, headers, body = world.send(event)
    assert body["error"]["message"] == f"The model is stopped. To start it: {COMMAND}"
    assert headers["x-should-retry"] == "false"
    assert "no request for 2 h, since 2026-11-25T12:00:00+00:00" in world.logged[-1]["detail"]


def test_a_mark_alone_stops_nothing() -> None:
    """Whether there is an endpoint SageMaker says: a mark may be older than its start."""
    kept = FakeParameterStore({"g5": registration(stopped=STOPPED)})
    status, _, _ = World(ssm=kept).send(PICTURE)
    assert status == 200
