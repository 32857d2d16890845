"""One endpoint's asynchronous invocations: waiting, at work, expired.

Without an instance they wait (developer guide, async-inference-autoscale); each instance is sent
MaxConcurrentInvocationsPerInstance at once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from local_cloud.sagemaker.async_request import AsyncRequest

# "If no value is provided, SageMaker chooses an optimal value" (botocore): not what it is.
DEFAULT_CONCURRENCY = 4
POLL_S = 0.05


@dataclass(frozen=True)
class Backlog:
    """`size` counts what is at work too, as ApproximateBacklogSize does."""

    waiting: int
    size: int
    oldest_age_s: float


class Worker(Protocol):
    """What a queue's requests come to, and for how many there is room."""

    def slots(self) -> int | None:
        """How many can be at work at once now; None once the endpoint is gone."""

    def process(self, request: AsyncRequest) -> None:
        """Blocks until it is done, whatever has become of it."""

    def expire(self, request: AsyncRequest) -> None:
        """It has waited for longer than it may."""


class AsyncQueue:
    """`start` runs work on a thread of its own; `clock` is the epoch's."""

    def __init__(
        self,
        worker: Worker,
        start: Callable[[Callable[[], None]], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._worker, self._start, self._clock = worker, start, clock
        self._waiting: deque[AsyncRequest] = deque()
        self._at_work: list[AsyncRequest] = []
        self._lock = threading.Lock()

    def put(self, request: AsyncRequest) -> None:
        with self._lock:
            self._waiting.append(request)

    def backlog(self) -> Backlog:
        with self._lock:
            every = [*self._waiting, *self._at_work]
            waiting = len(self._waiting)
        oldest = min((request.received for request in every), default=self._clock())
        return Backlog(waiting, len(every), self._clock() - oldest)

    def run(self) -> None:
        """Hand the requests out, oldest first, until the endpoint is gone."""
        while self.step():
            time.sleep(POLL_S)

    def step(self) -> bool:
        """Expire what has waited too long and start what there is room for; False at the end."""
        if (slots := self._worker.slots()) is None:
            return False
        for request in self._expired():
            self._worker.expire(request)
        while (taken := self._take(slots)) is not None:
            self._start(self._work_on(taken))
        return True

    def _expired(self) -> list[AsyncRequest]:
        now = self._clock()
        with self._lock:
            over = [one for one in self._waiting if now - one.received > one.ttl_s]
            for request in over:
                self._waiting.remove(request)
        return over

    def _take(self, slots: int) -> AsyncRequest | None:
        with self._lock:
            if not self._waiting or len(self._at_work) >= slots:
                return None
            request = self._waiting.popleft()
            self._at_work.append(request)
        return request

    def _work_on(self, request: AsyncRequest) -> Callable[[], None]:
        def work() -> None:
            try:
                self._worker.process(request)
            finally:
                with self._lock:
                    self._at_work.remove(request)

        return work
