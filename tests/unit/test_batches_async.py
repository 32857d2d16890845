"""Batches on an asynchronous endpoint: ends told twice, or not in order, and a worker that dies."""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import Session as BotocoreSession
from botocore.validate import ParamValidator

from batches.asynchronous import Ended
from batches.records import CANCELLING
from sd_contract.batch import BatchKeys
from sd_contract.registration import ASYNC
from tests.fakes.batch_engines import World, world
from tests.fakes.batch_queue import Killed
from tests.fakes.front_door import FakeRuntime, client_error

INPUT = (
    BotocoreSession()
    .get_service_model("sagemaker-runtime")
    .operation_model("InvokeEndpointAsync")
    .input_shape
)


class _Exceptions:
    ClientError = ClientError


@dataclass
class FakeAsyncRuntime:
    """Requests wait until `answer` draws the oldest, as the endpoint would."""

    world: World
    fails_first: list[Exception] = field(default_factory=list)
    refuses: dict[int, bytes] = field(default_factory=dict)
    """What the container says instead, by seed; `with_200`: as DJL does in a batch."""
    with_200: bool = False
    waiting: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    drawn: int = 0
    exceptions = _Exceptions

    def invoke_endpoint_async(self, **kwargs: Any) -> dict[str, Any]:
        ParamValidator().validate(kwargs, INPUT)
        assert len(kwargs["InferenceId"]) <= 64
        if self.fails_first:
            raise self.fails_first.pop(0)
        self.waiting.append(kwargs)
        self.requests.append(kwargs)
        number = len(self.requests)
        return {
            "InferenceId": kwargs["InferenceId"],
            "OutputLocation": f"s3://batches/async/{number}.out",
            "FailureLocation": f"s3://batches/async/{number}-error.out",
        }

    def answer(self, number: int = 0) -> None:
        """The developer guide's notices (async-inference-check-predictions)."""
        request = self.waiting.pop(number)
        at = self.requests.index(request) + 1
        notice: dict[str, Any] = {
            "awsRegion": "us-east-1",
            "requestParameters": {
                "endpointName": request["EndpointName"],
                "inputLocation": request["InputLocation"],
            },
            "inferenceId": request["InferenceId"],
            "eventName": "InferenceResult",
        }
        objects = self.world.bucket.objects
        body = objects.get(request["InputLocation"].removeprefix("s3://batches/"))
        reason = "" if body else "ClientError: the input is not there"
        said = None
        if body:
            said = self.refuses.get(json.loads(body)["seed"])
            if said and not self.with_200:
                objects[f"async/{at}-error.out"] = said
                reason = "ClientError: Received server error (500) from model."
        if reason:
            notice |= {"invocationStatus": "Failed", "failureReason": reason}
        else:
            assert body is not None
            self.drawn += 1
            answer = FakeRuntime().invoke_endpoint(Body=body)["Body"].read()
            objects[f"async/{at}.out"] = said or answer
            notice |= {
                "invocationStatus": "Completed",
                "responseParameters": {
                    "contentType": "application/json",
                    "outputLocation": f"s3://batches/async/{at}.out",
                },
            }
        self.notices.append(json.dumps(notice))


@pytest.fixture
def it() -> Iterator[World]:
    with world() as made:
        made.clients["sagemaker-runtime"] = FakeAsyncRuntime(made)
        yield made


def endpoint(it: World) -> FakeAsyncRuntime:
    runtime = it.clients["sagemaker-runtime"]
    assert isinstance(runtime, FakeAsyncRuntime)
    return runtime


def tell(it: World, notice: str) -> None:
    """As SNS does: again, where the function died."""
    while True:
        try:
            it.engines.asynchronous.answered(Ended.read(notice))
        except Killed:
            continue
        return


def run(it: World, order: Callable[[int], int] = lambda _: 0, times: int = 1) -> None:
    it.run()
    runtime = endpoint(it)
    while runtime.waiting:
        runtime.answer(order(len(runtime.waiting)))
        for _ in range(times):
            tell(it, runtime.notices[-1])
        it.run()


def start(it: World, *ids: str) -> None:
    for id in ids or ("batch_1",):
        it.engines.asynchronous.start(it.store.batch(id))


def test_draws_every_picture_a_part_and_a_half_at_a_time(it: World) -> None:
    it.add(30, engine=ASYNC, part_pictures=10)
    start(it)
    it.run()
    # Containers read both (djl/model.py).
    sent = endpoint(it).requests[0]["CustomAttributes"]
    assert sent == "request_id=batch_1-000001-1000;patient=yes"
    most = 0
    while endpoint(it).waiting:
        most = max(most, len(endpoint(it).waiting))
        endpoint(it).answer()
        tell(it, endpoint(it).notices[-1])
        it.run()
    it.assert_whole()
    assert 10 < most <= 15
    assert it.tasks.asked == [("finish", "batch_1")]
    # Where to, is asked once a part.
    assert it.parameters.read.count("/sd/fleets") == 3
    first = endpoint(it).requests[0]
    assert first["EndpointName"] == "sd-g5-async"
    assert first["InputLocation"] == "s3://batches/batches/batch_1/async/0/0/000001-1000.json"
    # Neither inputs nor what waits for nobody stays.
    assert it.bucket.below("batches/batch_1/async/") == []
    assert it.bucket.below("async/") == []


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("order", [lambda n: n - 1, lambda n: n // 2], ids=["last", "middle"])
def test_ends_come_in_any_order_and_twice(
    it: World, order: Callable[[int], int], times: int
) -> None:
    it.add(7, images=3, engine=ASYNC, part_pictures=9)
    start(it)
    run(it, order, times)
    it.assert_whole()
    assert endpoint(it).drawn == 21


@pytest.mark.parametrize("call", ["invoke_endpoint_async", "put_item", "put_object", "get_item"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_function_killed_at_any_call_draws_none_again_but_the_one_at_hand(
    it: World, call: str, when: str
) -> None:
    it.add(12, engine=ASYNC, part_pictures=6)
    calls = iter(range(1000))

    def kill() -> None:
        if next(calls) in (7, 20):
            raise Killed

    start(it)
    getattr(it, when)[call] = kill
    run(it)
    it.assert_whole()
    assert endpoint(it).drawn <= 12 + 2
    assert set(it.tasks.asked) == {("finish", "batch_1")}


def test_two_batches_at_once(it: World) -> None:
    for id in ("batch_1", "batch_2"):
        it.add(12, id=id, engine=ASYNC, part_pictures=5)
    start(it, "batch_1", "batch_2")
    run(it, times=2)
    it.assert_whole("batch_1")
    it.assert_whole("batch_2")
    assert endpoint(it).drawn == 24


@pytest.mark.parametrize("with_200", [False, True])
def test_what_failed_is_sent_again_and_at_last_is_a_failed_picture(
    it: World, with_200: bool
) -> None:
    it.add(2, engine=ASYNC)
    endpoint(it).with_200 = with_200
    endpoint(it).refuses[1000] = b'{"error": {"type": "engine_error", "message": "of a secret"}}'
    start(it)
    run(it, times=2)
    failed, drawn = it.results()
    assert failed.error is not None
    assert failed.error["code"] == "engine_error"
    assert "secret" not in str(failed.error)
    assert drawn.error is None
    tries = Counter(request["InferenceId"] for request in endpoint(it).requests)
    assert tries == {"batch_1-000001-1000": 3, "batch_1-000002-2000": 1}
    assert it.tasks.asked[-1] == ("finish", "batch_1")


def test_a_failure_that_is_told_before_its_request_is_noted_counts(it: World) -> None:
    it.add(1, engine=ASYNC)
    endpoint(it).refuses[1000] = b'{"error": {"type": "engine_error", "message": "x"}}'

    def at_once() -> None:
        endpoint(it).answer()
        tell(it, endpoint(it).notices[-1])

    it.after["invoke_endpoint_async"] = at_once
    start(it)
    it.run()
    [failed] = it.results()
    assert failed.error is not None
    assert len(endpoint(it).requests) == 3


def test_an_answer_that_is_none_is_a_failure(it: World) -> None:
    it.add(1, engine=ASYNC)
    endpoint(it).with_200 = True
    endpoint(it).refuses[1000] = b'{"images": []}'
    start(it)
    run(it)
    [failed] = it.results()
    assert failed.error is not None
    assert failed.error["code"] == "engine_error"
    assert len(endpoint(it).requests) == 3


@pytest.mark.parametrize("with_200", [False, True])
def test_what_the_container_refuses_is_not_sent_again(it: World, with_200: bool) -> None:
    it.add(1, engine=ASYNC)
    endpoint(it).with_200 = with_200
    endpoint(it).refuses[1000] = (
        b'{"error": {"type": "invalid_request", "message": "image: broken", "param": "image", '
        b'"code": "invalid_picture"}}'
    )
    start(it)
    run(it)
    [result] = it.results()
    assert result.error is not None
    assert (result.error["param"], result.error["code"]) == ("image", "invalid_picture")
    assert len(endpoint(it).requests) == 1


def test_a_refused_request_comes_back_later(it: World) -> None:
    it.add(2, engine=ASYNC)
    endpoint(it).fails_first = [client_error("ThrottlingException")] * 2
    start(it)
    run(it)
    assert it.queue.delays_s == [5, 10]
    it.assert_whole()


def test_a_cancel_takes_back_what_waits(it: World) -> None:
    it.add(20, engine=ASYNC, part_pictures=10)
    start(it)
    it.run()
    endpoint(it).answer()
    tell(it, endpoint(it).notices[-1])
    it.store.change("batch_1", ("in_progress",), status=CANCELLING)
    at_hand = endpoint(it).waiting[0]
    at_hand_body = it.bucket.objects[at_hand["InputLocation"].removeprefix("s3://batches/")]
    seconds = it.engines.asynchronous.stop(it.store.batch("batch_1"))
    assert 60 < seconds <= 120
    # The endpoint had read that one's.
    it.bucket.objects[at_hand["InputLocation"].removeprefix("s3://batches/")] = at_hand_body
    run(it)
    assert endpoint(it).drawn == 2
    assert len(it.results()) == 2
    assert it.store.batch("batch_1").pictures == 2
    assert len(endpoint(it).requests) == 10


def test_a_cancel_ends_a_part_that_is_being_handed_out(it: World) -> None:
    it.add(10, engine=ASYNC)
    sent = iter(range(10))

    def cancel_at_the_third() -> None:
        if next(sent) == 2:
            it.store.change("batch_1", ("in_progress",), status=CANCELLING)

    it.after["invoke_endpoint_async"] = cancel_at_the_third
    start(it)
    it.run()
    assert len(endpoint(it).requests) == 3


def test_the_end_of_a_batch_that_is_gone_is_nobodys(it: World) -> None:
    it.add(1, engine=ASYNC)
    start(it)
    it.run()
    endpoint(it).answer()
    notice = endpoint(it).notices[0].replace("batch_1", "batch_0")
    it.engines.asynchronous.answered(Ended.read(notice))
    assert it.results() == []


def test_an_edits_files_go_along(it: World) -> None:
    batch = it.add(1, engine=ASYNC)
    keys = BatchKeys("batch_1")
    part = json.loads(it.bucket.objects[keys.part(0)])
    part["invocation"] |= {"image": keys.edit("ab"), "strength": 0.5}
    it.bucket.objects[keys.part(0)] = json.dumps(part).encode()
    it.bucket.objects[keys.edit("ab")] = b"a picture"
    it.engines.asynchronous.hand_out(batch, 0)
    [key] = it.bucket.below("batches/batch_1/async/")
    body = json.load(io.BytesIO(it.bucket.objects[key]))
    assert (body["image"], body["strength"]) == ("YSBwaWN0dXJl", 0.5)
