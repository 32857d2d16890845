"""Two ways to put load on a variant: closed loop (so many callers) and open loop (such a rate).

All times come from the running event loop's clock, so tests run on a loop whose time jumps.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from benchmark.run.records import WARM_UP


@dataclass(frozen=True)
class LoadPhase:
    """`concurrency` callers, each waiting for its answer; or arrivals at `rate` a second."""

    name: str
    concurrency: int | None = None
    rate: float | None = None


WARMING_UP = LoadPhase(WARM_UP, concurrency=1)

Request = TypeVar("Request")
Send = Callable[[Request, float], Coroutine[Any, Any, None]]
"""Sends a request and records it; the float is when it was due, in the loop's time."""


def arrival_times(count: int, rate: float, seed: int) -> list[float]:
    """Seconds from the start, of a Poisson process: independent exponential gaps."""
    draw = random.Random(seed)
    times, now = [], 0.0
    for _ in range(count):
        now += draw.expovariate(rate)
        times.append(now)
    return times


async def closed_loop(
    planned: Sequence[Request], concurrency: int, send: Send[Request], stop: asyncio.Event
) -> None:
    loop = asyncio.get_running_loop()
    waiting = iter(planned)

    async def caller() -> None:
        for request in waiting:
            if stop.is_set():
                return
            await send(request, loop.time())

    async with asyncio.TaskGroup() as callers:
        for _ in range(concurrency):
            callers.create_task(caller())


async def open_loop(
    planned: Sequence[Request], arrivals: Sequence[float], send: Send[Request], stop: asyncio.Event
) -> None:
    """Sends each when its time comes, however many are still unanswered."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.TaskGroup() as in_flight:
        for request, arrival in zip(planned, arrivals, strict=True):
            due = start + arrival
            try:
                async with asyncio.timeout_at(due):
                    await stop.wait()
                return
            except TimeoutError:
                in_flight.create_task(send(request, due))
