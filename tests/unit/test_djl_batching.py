"""Batches as DJL gathers, packs and unpacks them, without a model."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import pytest

from local_cloud.djl_batching import BadBatch, Handle, QueueFull, Worker, pack, predict, unpack
from local_cloud.djl_messages import Input, Output

LONG_S = 600.0
"""A delay that no test waits for: a batch that is full goes at once."""


def request(body: str, **headers: str) -> Input:
    made = Input()
    made.properties.update(headers)
    made.content.add("data", body.encode())
    return made


def echo(inputs: Input) -> Output:
    """Answers each with its own body in capitals."""
    members = inputs.get_batches()
    if len(members) == 1 and not inputs.is_batch():
        return Output().add(inputs.get_as_string().upper())
    output = Output()
    for index, member in enumerate(members):
        output.add(member.get_as_string().upper(), batch_index=index)
    return output


def text(output: Output) -> str:
    return output.content.value_at(0).decode()


@contextmanager
def running(handle: Handle, **options: object) -> Iterator[Worker]:
    settings = {"batch_size": 4, "max_batch_delay_s": LONG_S, "queue_size": 100, **options}
    settings.setdefault("observe", lambda _: None)
    worker = Worker(handle, **settings)  # type: ignore[arg-type]
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
    sizes: list[int] = []
    with running(echo, observe=sizes.append) as worker:
        answers = [worker.submit(request(letter)) for letter in "abcd"]
        assert [text(answer.result()) for answer in answers] == ["A", "B", "C", "D"]
    assert sizes == [4]


def test_a_batch_that_does_not_fill_goes_after_the_delay() -> None:
    with running(echo, max_batch_delay_s=0.01) as worker:
        assert text(worker.submit(request("a")).result()) == "A"


def test_no_delay_takes_what_is_there() -> None:
    entered, leave = threading.Event(), threading.Event()
    sizes: list[int] = []

    def slow(inputs: Input) -> Output:
        entered.set()
        leave.wait()
        return echo(inputs)

    with running(slow, max_batch_delay_s=0.0, observe=sizes.append) as worker:
        first = worker.submit(request("a"))
        entered.wait()
        others = [worker.submit(request(letter)) for letter in "bcdef"]
        leave.set()
        assert [text(answer.result()) for answer in [first, *others]] == list("ABCDEF")
    assert sizes == [4]  # a alone, b to e together, f alone


def test_a_full_queue_refuses() -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(inputs: Input) -> Output:
        entered.set()
        leave.wait()
        return echo(inputs)

    with running(slow, batch_size=1, queue_size=1) as worker:
        answers: list[Future[Output]] = [worker.submit(request("a"))]
        entered.wait()
        answers.append(worker.submit(request("b")))
        with pytest.raises(QueueFull):
            worker.submit(request("c"))
        leave.set()
        assert [text(answer.result()) for answer in answers] == ["A", "B"]


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
    def forgetful(inputs: Input) -> Output:
        return Output().add("only one", batch_index=0) if inputs.is_batch() else echo(inputs)

    with running(forgetful, batch_size=2) as worker:
        for answer in [worker.submit(request("a")), worker.submit(request("b"))]:
            with pytest.raises(BadBatch, match="expected: 2, actual: 1"):
                answer.result()
    with pytest.raises(BadBatch, match="Unexpected batch output key"):
        unpack(Output().add("x", key="data"), 1)


class OutOfMemoryError(Exception):
    pass


@pytest.mark.parametrize(("error", "code"), [(OutOfMemoryError("m"), 507), (ValueError("v"), 424)])
def test_what_a_handler_raises_is_answered(error: Exception, code: int) -> None:
    def broken(_: Input) -> Output:
        raise error

    (output,) = predict(broken, [request("a")])
    assert output.code == code
    if code == 424:
        assert json.loads(text(output))["error"] == "v"


def test_nothing_and_nonsense_are_answered() -> None:
    assert predict(lambda _: None, [request("a")])[0].code == 204
    (output,) = predict(lambda _: "text", [request("a")])
    assert "Invalid output type" in json.loads(text(output))["error"]
