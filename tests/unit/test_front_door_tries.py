"""What is safe to try again is, with the same seed and within the time left; nothing else is."""

from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, ConnectTimeoutError, ReadTimeoutError

from tests.fakes.front_door import (
    FakeParameterStore,
    FakeRuntime,
    World,
    client_error,
    djl_error,
    engine_error,
    no_answer,
    no_endpoint,
    registration,
)

THROTTLED = client_error("ThrottlingException")
PASSING = [
    THROTTLED,
    client_error("ServiceUnavailable"),
    client_error("ModelNotReadyException"),
    ConnectTimeoutError(endpoint_url="https://x"),
    djl_error(503, "WlmCapacityException", "Worker queue capacity exceeded"),
]
OTHERS = [
    no_endpoint(),
    client_error("ValidationError", "it has no capacity to process this request"),
    client_error("InternalFailure"),
    ConnectionClosedError(endpoint_url="https://x"),
    ReadTimeoutError(endpoint_url="https://x"),
    no_answer("could not get a response"),
    engine_error("out of memory"),
]


@pytest.mark.parametrize("error", PASSING)
def test_what_no_container_has_worked_on_is_tried_again_with_the_same_seed(
    error: Exception,
) -> None:
    world = World(runtime=FakeRuntime(fails_first=[error, error]))
    status, _, body = world.generate(prompt="x")
    assert status == 200
    seeds = [call["Body"]["seed"] for call in world.runtime.invocations]
    assert seeds == [body["data"][0]["seed"]] * 3
    assert world.slept_s == [0.3, 0.9]


@pytest.mark.parametrize("error", OTHERS)
def test_nothing_else_is(error: Exception) -> None:
    world = World(runtime=FakeRuntime(fails_first=[error]))
    assert world.generate(prompt="x")[0] != 200
    assert (len(world.runtime.invocations), world.slept_s) == (1, [])


def test_the_third_failure_is_the_last() -> None:
    world = World(runtime=FakeRuntime(fails=THROTTLED))
    assert world.generate(prompt="x")[0] == 429
    assert len(world.runtime.invocations) == 3


def world_whose_clock_ticks(seconds: float, **more: Any) -> World:
    """By so many seconds whenever it is looked at."""
    ticks = count(step=seconds)
    return World(timer=lambda: float(next(ticks)), **more)


def test_each_try_may_take_what_is_left_of_the_time() -> None:
    world = world_whose_clock_ticks(2, runtime=FakeRuntime(fails_first=[THROTTLED]))
    assert world.generate(prompt="x")[0] == 200
    # 26 s for the endpoint; two looks for the first try, two more after it.
    assert world.read_timeouts_s == [22, 18]


def test_it_is_not_tried_again_without_time_to_draw() -> None:
    slow = registration(seconds_per_step=0.8)  # 20 s of the 26
    world = world_whose_clock_ticks(
        2, runtime=FakeRuntime(fails_first=[THROTTLED]), ssm=FakeParameterStore({"g5": slow})
    )
    assert world.generate(prompt="x")[0] == 429
    assert len(world.runtime.invocations) == 1
