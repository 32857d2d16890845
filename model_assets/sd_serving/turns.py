"""Whose turn it is: of the requests that wait, the oldest, and those that are drawn with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from sd_contract.environment import Batching
from sd_serving.handler import Drawing, Reply


@dataclass(frozen=True, eq=False)
class Waiting:
    """A request before its turn. Made in a running event loop."""

    drawing: Drawing
    is_gone: Callable[[], Awaitable[bool]]
    """Whether its caller has left."""
    reply: asyncio.Future[Reply | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    """None for a caller that has left."""
    since: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def pictures(self) -> int:
        return self.drawing.task.request.num_images

    def answer(self, reply: Reply | None) -> None:
        if not self.reply.done():  # cancelled, where the server is on its way out
            self.reply.set_result(reply)

    def fail(self, error: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)


class Turns:
    """One taker. What isn't of the oldest one's kind, or would be too much, keeps its place: so
    each becomes the oldest."""

    def __init__(self, batching: Batching) -> None:
        self._batching = batching
        self._waiting: list[Waiting] = []
        self._came = asyncio.Event()

    def wait(self, waiting: Waiting) -> None:
        self._waiting.append(waiting)
        self._came.set()

    async def next(self) -> list[Waiting]:
        """Waits for one; then for a full batch, until the oldest has waited `max_delay_ms`. Empty
        where all callers of it have left, which then have their reply."""
        while not self._waiting:
            await self._another()
        since = asyncio.get_running_loop().time() - self._waiting[0].since
        with anyio.move_on_after(self._batching.max_delay_ms / 1000 - since):
            while sum(each.pictures for each in self._batch()) < self._batching.max_size:
                await self._another()
        batch = self._batch()
        self._waiting = [each for each in self._waiting if each not in batch]
        there = []
        for each in batch:
            if await each.is_gone():
                each.answer(None)
            else:
                there.append(each)
        return there

    async def _another(self) -> None:
        self._came.clear()
        await self._came.wait()

    def _batch(self) -> list[Waiting]:
        """The oldest, whatever it takes; others of its kind, the oldest first, that fit besides."""
        batch, room = self._waiting[:1], self._batching.max_size - self._waiting[0].pictures
        for each in self._waiting[1:]:
            if each.drawing.kind == batch[0].drawing.kind and each.pictures <= room:
                batch.append(each)
                room -= each.pictures
        return batch
