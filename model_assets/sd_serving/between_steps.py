"""Work of milliseconds between the steps of a picture.

One thread computes, so that no network is run, and no tokenizer asked, by two at a time; what takes
milliseconds needn't wait for a picture of seconds all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

from sd_serving.config import ServingConfig
from sd_serving.engine import Engine
from sd_serving.parts import Parts

T = TypeVar("T")


class BetweenSteps(Generic[T]):
    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[Future[T], Callable[[], T]]] = SimpleQueue()

    def add(self, work: Callable[[], T]) -> Future[T]:
        """From any thread."""
        future: Future[T] = Future()
        self._waiting.put((future, work))
        return future

    @property
    def waiting(self) -> int:
        return self._waiting.qsize()

    def run(self) -> None:
        """Does what is waiting now; what comes meanwhile has to let the picture take a step. Called
        by the one thread that computes."""
        for _ in range(self.waiting):
            future, work = self._waiting.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
                    future.set_exception(error)


class SteppingEngine(Engine):
    """Lets others in between two steps."""

    def __init__(self, parts: Parts, config: ServingConfig, between: Callable[[], None]) -> None:
        super().__init__(parts, config)
        self._between = between

    def before_step(self) -> None:
        self._between()
