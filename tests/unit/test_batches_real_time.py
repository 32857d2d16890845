"""Batches on a real-time endpoint: a queue that brings things twice, a worker that dies."""

import io
import json
import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from batches import queue
from batches.queue import Draw, Launch, Part
from batches.real_time import pause_s
from batches.records import CANCELLING
from sd_contract.batch import BatchKeys
from sd_contract.signing import SigningRequest, pictures_document
from stacks.settings import ROOT
from tests.fakes.batch_engines import FakeTasks, World, world
from tests.fakes.batch_queue import DEAD_ARN, Killed
from tests.fakes.front_door import (
    PNG,
    client_error,
    djl_error,
    engine_error,
    model_error,
    no_answer,
    no_endpoint,
    registration,
)


@pytest.fixture
def it() -> Iterator[World]:
    with world() as made:
        yield made


def start(it: World, *ids: str) -> None:
    for id in ids or ("batch_1",):
        it.engines.real_time.start(it.store.batch(id))


def test_draws_every_picture_and_asks_for_the_end_once_all_are_counted(it: World) -> None:
    it.add(3, images=2)
    start(it)
    it.run()
    it.assert_whole()
    assert it.tasks.asked == [("finish", "batch_1")]
    assert it.queue.messages == []
    assert it.runtime.invocations[0]["CustomAttributes"] == "request_id=batch_1-000001-1000"


class Kills:
    """The worker dies at its n-th call of that kind, for each n in `at`."""

    def __init__(self, *at: int) -> None:
        self.at, self.calls, self.kills = set(at), 0, 0

    def __call__(self, *_: object, **__: object) -> None:
        self.calls += 1
        if self.calls in self.at:
            self.kills += 1
            raise Killed


def kill_after_invoking(it: World, kills: Kills) -> None:
    it.runtime.change = kills


def kill_before_a_picture_is_stored(it: World, kills: Kills) -> None:
    it.bucket.on_put = lambda key: kills() if "/pictures/" in key else None


def kill_before_a_result_is_stored(it: World, kills: Kills) -> None:
    it.bucket.on_put = lambda key: kills() if "/results/" in key else None


def kill_before_it_is_counted(it: World, kills: Kills) -> None:
    it.before["transact_write_items"] = kills


def kill_after_it_is_counted(it: World, kills: Kills) -> None:
    it.after["transact_write_items"] = kills


def kill_before_it_pauses(it: World, kills: Kills) -> None:
    it.before["put_item"] = kills


@pytest.mark.parametrize(
    ("where", "redrawn"),
    [
        (kill_after_invoking, 2),
        (kill_before_a_picture_is_stored, 2),
        (kill_before_a_result_is_stored, 2),
        (kill_before_it_is_counted, 0),
        (kill_after_it_is_counted, 0),
        (kill_before_it_pauses, 2),
    ],
)
def test_two_batches_at_once_with_the_worker_killed_twice(
    it: World, where: Callable[[World, Kills], None], redrawn: int
) -> None:
    it.add(30, id="batch_1", part_pictures=10)
    it.add(10, images=3, id="batch_2", part_pictures=10)
    kills = Kills(9, 36)
    where(it, kills)
    start(it, "batch_1", "batch_2")
    it.run()
    assert kills.kills == 2
    it.assert_whole("batch_1")
    it.assert_whole("batch_2")
    # Each once, but for the picture at hand.
    drawn = Counter((c["CustomAttributes"]) for c in it.runtime.invocations)
    assert len(drawn) == 60
    assert sum(drawn.values()) == 60 + redrawn
    assert set(it.tasks.asked) == {("finish", "batch_1"), ("finish", "batch_2")}


@pytest.mark.parametrize("at", range(1, 12))
def test_a_worker_killed_while_it_hands_out_loses_nothing(it: World, at: int) -> None:
    it.add(45, part_pictures=15)
    kills = Kills(at)
    it.before["send_message_batch"] = kills
    try:
        start(it)
    except Killed:  # the checker; it is called again
        start(it)
    it.run()
    it.assert_whole()
    assert len(it.runtime.invocations) == 45


def test_a_unit_that_comes_again_long_after_is_not_drawn_again(it: World) -> None:
    it.add(2)
    start(it)
    it.run()
    it.queue.now += 1000
    start(it)
    it.run()
    assert len(it.runtime.invocations) == 2
    it.assert_whole()


def test_two_batches_take_turns(it: World) -> None:
    for id in ("batch_1", "batch_2"):
        it.add(40, id=id, part_pictures=10)
    start(it, "batch_1", "batch_2")
    it.run()
    order = [c["CustomAttributes"].split("-")[0][-1] for c in it.runtime.invocations]
    assert "2" in order[:20]
    assert "1" in order[60:]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (client_error("ThrottlingException"), "EndpointThrottled"),
        (client_error("ServiceUnavailable"), "EndpointUnavailable"),
        (djl_error(503, "WlmCapacityException", "full"), "EndpointOverloaded"),
        (no_endpoint(), "EndpointNotFound"),
    ],
)
def test_what_was_not_drawn_comes_back_later_and_later(
    it: World, error: Exception, name: str
) -> None:
    it.add(2)
    it.runtime.fails_first = [error] * 9
    start(it)
    it.run()
    came_back = it.log("comes_back")
    assert [line["in_s"] for line in came_back] == [5, 10, 20, 40, 80, 160, 320, 640, 900]
    assert {line["detail"].split(":")[0] for line in came_back} == {name}
    it.assert_whole()


def test_a_container_that_fails_is_tried_four_times(it: World) -> None:
    it.add(2)
    trouble = [engine_error("of a secret"), no_answer("died")]
    it.runtime.fails_first = trouble * 2
    start(it)
    it.run()
    failed, drawn = it.results()
    assert failed.error == {
        "message": "The picture could not be drawn.",
        "type": "server_error",
        "param": None,
        "code": "engine_error",
    }
    assert drawn.error is None
    batch = it.store.batch("batch_1")
    assert (batch.completed, batch.failed, batch.pictures) == (1, 1, 1)
    assert it.tasks.asked == [("finish", "batch_1")]


def test_what_the_container_refuses_is_not_tried_again(it: World) -> None:
    it.add(1)
    refusal = {
        "error": {
            "type": "invalid_request",
            "message": "image: must be a PNG, JPEG or WebP file",
            "param": "image",
            "code": "invalid_picture",
        }
    }
    it.runtime.fails = model_error(refusal)
    start(it)
    it.run()
    [result] = it.results()
    assert len(it.runtime.invocations) == 1
    assert result.error is not None
    assert (result.error["param"], result.error["code"]) == ("image", "invalid_picture")
    assert result.error["type"] == "invalid_request_error"


def test_a_cancel_stops_after_the_picture_at_hand(it: World) -> None:
    it.add(20)
    drawn = iter(range(20))

    def cancel_at_the_third(_: object) -> None:
        if next(drawn) == 2:
            it.store.change("batch_1", ("in_progress",), status=CANCELLING)

    it.runtime.change = cancel_at_the_third
    start(it)
    it.run()
    assert len(it.runtime.invocations) == 3
    # What was at hand counts.
    assert it.store.batch("batch_1").pictures == 3
    assert len(it.results()) == 3
    assert it.queue.messages == []
    # The first unit that is left tells that none is at hand.
    assert it.tasks.asked[0] == ("finish", "batch_1")


def test_a_batch_out_of_time_is_told_to_stop(it: World) -> None:
    it.add(2, deadline=int(it.queue.now) - 1)
    start(it)
    it.run()
    assert it.runtime.invocations == []
    assert it.tasks.asked == [("stop", "batch_1")]


def test_a_batch_that_is_gone_leaves_nothing_in_the_queue(it: World) -> None:
    it.engines.queue.send([Part("batch_0", 0)])
    it.run()
    assert it.queue.messages == []


@pytest.mark.parametrize(
    ("instances", "groups", "pause"),
    # Of 2 s a picture: a share of 0.2 is a picture in 10 s; of six instances one and a fifth, in
    # two groups of 0.6.
    [(1, {"g5-0"}, 8.0), (3, {"g5-0"}, 2 / 0.6 - 2), (6, {"g5-0", "g5-1"}, 2 / 0.6 - 2)],
)
def test_takes_no_more_than_its_share_of_the_endpoints_time(
    it: World, instances: int, groups: set[str], pause: float
) -> None:
    document = registration("g5", instance_count=instances)
    it.parameters.documents["/sd/variants"]["g5"] = json.dumps(document)
    it.add(6)
    drawn_at: list[float] = []
    it.runtime.change = lambda _: drawn_at.append(it.queue.now)
    start(it)
    it.queue.deliver(it.work)
    assert {message.group for message in it.queue.messages} == groups
    it.run()
    at_once = len(groups)
    waits = [b - a for a, b in zip(drawn_at, drawn_at[at_once:], strict=False)]
    # A queue counts in whole seconds.
    assert all(pause <= wait <= pause + 1 for wait in waits)
    assert len(waits) == 6 - at_once


@dataclass
class Callers:
    """Those who come by chance, `rate` of them a second; or one who asks `pause_s` after each
    answer."""

    rate: float = 0.0
    pause_s: float = 0.0

    def next_s(self, chance: random.Random, asked_s: float, answered_s: float) -> float:
        return asked_s + chance.expovariate(self.rate) if self.rate else answered_s + self.pause_s


def p90_s(callers: Callers, share: float) -> float:
    """Of those callers of an endpoint that draws a picture in a second, beside a batch; without
    one at a share of 0."""
    chance = random.Random(1)
    free_s, asked_s, batch_s = 0.0, 0.0, 0.0 if share else math.inf
    took_s: list[float] = []
    while len(took_s) < 5000:
        began_s = min(asked_s, batch_s)
        free_s = max(free_s, began_s) + 1
        if asked_s <= batch_s:
            took_s.append(free_s - asked_s)
            asked_s = callers.next_s(chance, asked_s, free_s)
        else:
            batch_s = free_s + pause_s(free_s - began_s, share, chance.uniform)
    return statistics.quantiles(took_s, n=10)[-1]


@pytest.mark.parametrize(
    "callers",
    [
        *(Callers(rate=rate) for rate in (0.02, 0.05, 0.1, 0.3, 0.5, 0.7)),
        *(Callers(pause_s=pause) for pause in (0.1, 0.5, 1, 2, 5)),
    ],
)
def test_beside_a_batch_callers_p90_is_at_most_half_as_much_again(callers: Callers) -> None:
    settings = json.loads((ROOT / "cdk.json").read_text())
    share = settings["context"]["sd"]["batch"]["real_time_share"]
    assert p90_s(callers, share) <= 1.5 * p90_s(callers, 0)


def test_a_unit_that_came_back_once_too_often_counts_as_failed(it: World) -> None:
    it.add(3)
    it.queue.max_receives = 4
    it.runtime.fails_first = [client_error("ThrottlingException")] * 4
    start(it)
    it.run()
    assert [result.error is None for result in it.results()] == [False, True, True]
    assert it.store.batch("batch_1").failed == 1
    assert len(it.log("dead_letter")) == 1
    assert it.tasks.asked == [("finish", "batch_1")]


def test_a_dead_units_next_part_is_handed_out(it: World) -> None:
    it.add(6, part_pictures=2)
    it.queue.max_receives = 1
    it.runtime.fails = client_error("ThrottlingException")
    start(it)
    it.run()
    assert len(it.results()) == 6
    assert it.store.batch("batch_1").failed == 6


def test_a_part_that_came_back_once_too_often_is_said_again(it: World) -> None:
    it.add(2)
    start(it)
    [message] = it.queue.messages
    message.source = DEAD_ARN
    it.run()
    it.assert_whole()


def test_what_nobody_foresaw_comes_back_and_the_log_tells_where_without_quoting(
    it: World,
) -> None:
    it.add(1)
    it.bucket.objects[BatchKeys("batch_1").part(0)] = b'{"prompt": a secret}'
    start(it)
    it.queue.deliver(it.work)
    assert it.queue.delays_s == [5]
    [line] = it.log("comes_back")
    assert line["error"] == "JSONDecodeError"
    assert "work_lines" in line["detail"]
    assert "secret" not in str(line)


def test_the_log_tells_each_units_end_and_no_prompt(it: World) -> None:
    it.add(1)
    start(it)
    it.run()
    assert it.log("unit") == [
        {
            "event": "unit",
            "batch": "batch_1",
            "unit": "000001-1000",
            "error": None,
            "counted": True,
            "instance_ms": 25.5,
        }
    ]
    assert "fox" not in str(it.logged)


def test_what_follows_a_message_that_comes_back_comes_back_with_it(it: World) -> None:
    """SQS's rule for FIFO queues, should a function get several at once."""
    it.add(1)
    records = [
        {
            "messageId": str(number),
            "receiptHandle": str(number),
            "body": queue.to_json(Part("batch_1", part)),
            "attributes": {"ApproximateReceiveCount": "1"},
            "eventSourceARN": "arn:aws:sqs:us-east-1:111122223333:units.fifo",
        }
        for number, part in enumerate([0, 7, 0])
    ]
    it.queue.change_message_visibility = lambda **_: None  # type: ignore[method-assign]
    assert it.work({"Records": records}) == {
        "batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "2"}]
    }


def test_messages_are_read_as_they_were_written(it: World) -> None:
    it.add(1, images=2)
    unit = it.units()[1]
    for message in (
        Part("batch_1", 3),
        Draw("batch_1", unit, 3, 4, "g5-0"),
        Draw("batch_1", unit, 3, None, "g5-0", tries=2),
        Launch("batch_1", "g5", 2),
    ):
        assert queue.from_json(queue.to_json(message)) == message


def test_ten_of_the_longest_units_are_one_message_batch(it: World) -> None:
    it.add(1)
    [unit] = it.units()
    longest = {**unit.invocation, "prompt": "\U0001f98a" * 1000, "negative_prompt": "\x01" * 1000}
    sent = [
        Draw("batch_1", type(unit)(line, 0, {**longest, "seed": line}, 1), 0, None, "g5-0")
        for line in range(10)
    ]
    it.engines.queue.send(sent)  # the fake checks
    assert len(it.queue.messages) == 10


class Signing:
    """Lambda with the signing function; the checker is asked as ever."""

    def __init__(self, tasks: FakeTasks, fails: int = 0) -> None:
        self.tasks, self.fails = tasks, fails
        self.asked: list[SigningRequest] = []

    def invoke(self, *, FunctionName: str, Payload: bytes, **more: str) -> dict[str, Any]:
        if FunctionName != "signer":
            self.tasks.invoke(FunctionName=FunctionName, Payload=Payload, **more)
            return {}
        event = json.loads(Payload)
        if self.fails:
            self.fails -= 1
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b"KMS says no")}
        wanted = SigningRequest.read(event["document"])
        self.asked.append(wanted)
        signed = pictures_document(tuple(each + b" signed" for each in wanted.pictures))
        answer = {"key": event["key"], "document": signed}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


@pytest.fixture
def signing() -> Iterator[tuple[World, Signing]]:
    with world(signing_function="signer") as made:
        made.clients["lambda"] = function = Signing(made.tasks)
        yield made, function


def test_where_pictures_are_signed_a_batchs_are(signing: tuple[World, Signing]) -> None:
    it, function = signing
    function.fails = 1
    it.add(2)
    start(it)
    it.run()
    for result in it.results():
        signed = PNG + f"{result.seed} signed".encode()
        assert it.bucket.objects[result.key or ""] == signed
    assert [each.media_type for each in function.asked] == ["image/png"] * 2
    assert "KMS says no" in it.log("comes_back")[0]["detail"]


def test_a_picture_that_cannot_be_signed_is_a_failed_one(signing: tuple[World, Signing]) -> None:
    it, function = signing
    function.fails = 4
    it.add(1)
    start(it)
    it.run()
    [result] = it.results()
    assert result.error is not None
    assert it.bucket.below("batches/batch_1/pictures/") == []
