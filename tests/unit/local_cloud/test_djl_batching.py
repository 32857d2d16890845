"""Batches as DJL gathers, packs and unpacks them, and a lost process, without a process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from local_cloud.djl.batching import (
    TranslateException,
    WlmCapacityException,
    WlmException,
    Worker,
    pack,
    predict,
    unpack,
)
from local_cloud.djl.engine import invoke
from local_cloud.djl.messages import Input, Output
from local_cloud.djl.process import ProcessLost

LONG_S = 600.0
"""A delay that no test waits for: a batch that is full goes at once."""


def request(body: str, **headers: str) -> Input:
    made = Input()
    made.properties.update(headers)
    made.content.add("data", body.encode())
    return made


def echo(inputs: Input) -> Output:
    """Answers each with its own body in capitals."""
    bodies = [bytes(member.get_as_bytes() or b"").upper() for member in inputs.get_batches()]
    if len(bodies) == 1:
        return Output().add(bodies[0])
    output = Output()
    for index, body in enumerate(bodies):
        output.add(body, batch_index=index)
    return output


def text(output: Output) -> str:
    return output.content.value_at(0).decode()


@dataclass
class ProcessDouble:
    handle: Callable[[Input], Output]
    stopped: bool = False
    sizes: list[int] = field(default_factory=list)
    """Of the batches that came, oldest first."""

    def predict(self, request: Input, timeout_s: float) -> Output:
        assert timeout_s == 240
        self.sizes.append(len(request.get_batches()))
        return self.handle(request)


@dataclass
class Busy:
    """Holds a batch until it is let go."""

    entered: threading.Event = field(default_factory=threading.Event)
    leave: threading.Event = field(default_factory=threading.Event)

    def __call__(self, inputs: Input) -> Output:
        self.entered.set()
        self.leave.wait()
        return echo(inputs)


@contextmanager
def running(process: ProcessDouble, **options: Any) -> Iterator[Worker]:
    settings = {
        "batch_size": 4,
        "max_batch_delay_s": LONG_S,
        "queue_size": 100,
        "timeout_s": 240,
        "retry_threshold": 10,
        **options,
    }
    worker = Worker(process, **settings)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def test_packs_as_djl_names_things() -> None:
    requests = [request("a", accept="x"), *[request("b")] * 10]
    batch = pack(requests)
    assert batch.properties == {"batch_size": "11", "batch_000.accept": "x"}
    assert batch.content.keys[0] == "batch_000.data"
    assert batch.content.keys[10] == "batch_010.data"


def test_a_full_batch_is_handled_once_and_answered_in_order() -> None:
    process = ProcessDouble(echo)
    with running(process) as worker:
        answers = [worker.submit(request(letter)) for letter in "abcd"]
        assert [text(answer.result()) for answer in answers] == ["A", "B", "C", "D"]
    assert process.sizes == [4]


def test_a_batch_that_does_not_fill_goes_after_the_delay() -> None:
    with running(ProcessDouble(echo), max_batch_delay_s=0.01) as worker:
        assert text(worker.submit(request("a")).result()) == "A"


def test_no_delay_takes_what_is_there() -> None:
    busy = Busy()
    process = ProcessDouble(busy)
    with running(process, max_batch_delay_s=0.0) as worker:
        first = worker.submit(request("a"))
        busy.entered.wait()
        others = [worker.submit(request(letter)) for letter in "bcdef"]
        busy.leave.set()
        assert [text(answer.result()) for answer in [first, *others]] == list("ABCDEF")
    assert process.sizes == [1, 4, 1]


def test_the_queue_refuses_one_request_earlier_than_its_size_says() -> None:
    busy = Busy()
    with running(ProcessDouble(busy), batch_size=1, queue_size=3) as worker:
        answers: list[Future[Output]] = [worker.submit(request("a"))]
        busy.entered.wait()
        answers += [worker.submit(request(letter)) for letter in "bc"]
        with pytest.raises(WlmCapacityException, match="Worker queue capacity exceeded"):
            worker.submit(request("d"))
        busy.leave.set()
        assert [text(answer.result()) for answer in answers] == ["A", "B", "C"]


def test_what_waits_when_the_process_is_lost_is_never_answered() -> None:
    busy = Busy()

    def lose_later(inputs: Input) -> Output:
        busy(inputs)
        raise ProcessLost("gone")

    with running(ProcessDouble(lose_later), batch_size=1, retry_threshold=0) as worker:
        first = worker.submit(request("a"))
        busy.entered.wait()
        waiting = worker.submit(request("b"))
        busy.leave.set()
        with pytest.raises(WlmException):
            first.result()
    assert not waiting.done()


def test_an_error_code_is_everyone_s() -> None:
    outputs = predict(lambda _: Output(507, "full").add("x"), [request("a"), request("b")])
    assert [(output.code, text(output)) for output in outputs] == [(507, "x"), (507, "x")]


def test_properties_are_everyone_s() -> None:
    output = Output().add_property("content-type", "t")
    output.add("b", batch_index=1).add("a", batch_index=0)
    answers = unpack(output, 2)
    assert [text(answer) for answer in answers] == ["a", "b"]
    assert [answer.properties for answer in answers] == [{"content-type": "t"}] * 2


def test_an_answer_that_misses_its_batch_spoils_all_of_it_and_nothing_more() -> None:
    def forgetful(_: Input) -> Output:
        return Output().add("only one", batch_index=0)

    with running(ProcessDouble(forgetful), batch_size=2) as worker:
        for answer in [worker.submit(request("a")), worker.submit(request("b"))]:
            with pytest.raises(TranslateException, match="expected: 2, actual: 1"):
                answer.result()
    with pytest.raises(TranslateException, match="Unexpected batch output key"):
        unpack(Output().add("x", key="data"), 1)


class OutOfMemoryError(Exception):
    pass


@pytest.mark.parametrize(("error", "code"), [(OutOfMemoryError("m"), 507), (ValueError("v"), 424)])
def test_what_a_handler_raises_is_answered(error: Exception, code: int) -> None:
    def broken(_: Input) -> Output:
        raise error

    output = invoke(broken, request("a"))
    assert output.code == code
    if code == 424:
        assert json.loads(text(output))["error"] == "v"


def test_nothing_is_answered_without_content() -> None:
    assert invoke(lambda _: None, request("a")).code == 204
