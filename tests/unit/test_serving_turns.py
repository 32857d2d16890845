"""Which of the requests that wait are drawn together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sd_contract.environment import EXACT, Batching
from sd_serving.edits import Task
from sd_serving.handler import Call, Drawing
from sd_serving.turns import Turns, Waiting
from tests.fakes.serving import request

A_DAY_MS = 86_400_000
"""Never over within a test."""


def waiting(is_gone: bool = False, **fields: Any) -> Waiting:
    async def gone() -> bool:
        return is_gone

    return Waiting(Drawing(Call(b""), Task(request(**fields), None)), gone)


def taken(
    batching: Batching, make: Callable[[], list[Waiting]], batches: int
) -> list[list[int | None]]:
    """The seeds of so many batches, taken after all have come."""

    async def take() -> list[list[int | None]]:
        turns = Turns(batching)
        for each in make():
            turns.wait(each)
        return [seeds(await turns.next()) for _ in range(batches)]

    return asyncio.run(take())


def seeds(batch: list[Waiting]) -> list[int | None]:
    return [each.drawing.task.request.seed for each in batch]


def test_one_by_one_they_come_in_their_order() -> None:
    made = taken(EXACT, lambda: [waiting(seed=seed, num_images=seed) for seed in (3, 1, 2)], 3)
    assert made == [[3], [1], [2]]


def test_the_oldest_is_drawn_with_those_of_its_kind_and_the_rest_keep_their_places() -> None:
    made = taken(
        Batching(2, 0),
        lambda: [
            waiting(seed=1),
            waiting(seed=2, num_inference_steps=9),
            waiting(seed=3),
            waiting(seed=4),
            waiting(seed=5, quality="fast"),
            waiting(seed=6, num_inference_steps=9),
        ],
        4,
    )
    assert made == [[1, 3], [2, 6], [4], [5]]


def test_no_batch_has_more_pictures_than_it_may_but_for_one_request_s() -> None:
    made = taken(
        Batching(4, 0),
        lambda: (
            [waiting(seed=n, num_images=n) for n in (3, 2, 1)] + [waiting(seed=9, num_images=9)]
        ),
        3,
    )
    assert made == [[3, 1], [2], [9]]


async def until_it_waits() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_batch_waits_for_more_until_it_is_full() -> None:
    async def test() -> None:
        turns = Turns(Batching(2, A_DAY_MS))
        batch = asyncio.create_task(turns.next())
        for seed, steps in enumerate([3, 9, 3]):
            await until_it_waits()
            assert not batch.done()
            turns.wait(waiting(seed=seed, num_inference_steps=steps))
        assert seeds(await batch) == [0, 2]

    asyncio.run(test())


def test_what_has_waited_for_its_turn_waits_no_longer() -> None:
    async def test() -> None:
        turns = Turns(Batching(4, 1_000))
        now = asyncio.get_running_loop().time()
        old = waiting(seed=1)
        turns.wait(Waiting(old.drawing, old.is_gone, since=now - 2))
        turns.wait(waiting(seed=2))
        assert seeds(await turns.next()) == [1, 2]

    asyncio.run(test())


def test_nothing_is_drawn_for_those_who_left() -> None:
    async def test() -> None:
        turns = Turns(Batching(2, 0))
        left, there = waiting(is_gone=True, seed=1), waiting(seed=2)
        for each in (left, there):
            turns.wait(each)
        assert seeds(await turns.next()) == [2]
        assert await left.reply is None
        turns.wait(waiting(is_gone=True))
        assert await turns.next() == []
        assert not there.reply.done()

    asyncio.run(test())


def test_an_answer_for_a_request_that_was_cancelled_is_dropped() -> None:
    async def test() -> None:
        one = waiting()
        one.reply.cancel()
        one.answer(None)
        one.fail(ValueError())
        with pytest.raises(asyncio.CancelledError):
            await one.reply

    asyncio.run(test())
