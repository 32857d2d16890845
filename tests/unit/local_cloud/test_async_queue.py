"""How asynchronous invocations wait for their turn, on a clock of the test's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from local_cloud.sagemaker.async_invocation import InvokeEndpointAsync
from local_cloud.sagemaker.async_queue import AsyncQueue
from local_cloud.sagemaker.async_request import AsyncRequest
from local_cloud.settings import CloudSettings


class Bench:
    """A queue whose work is done when `finish` says so."""

    def __init__(self, slots: int | None) -> None:
        self.now, self.free = 1000.0, slots
        self.started: list[Callable[[], None]] = []
        self.processed: list[str] = []
        self.expired: list[str] = []
        self.queue = AsyncQueue(self, self.started.append, lambda: self.now)

    def slots(self) -> int | None:
        return self.free

    def process(self, request: AsyncRequest) -> None:
        self.processed.append(request.inference_id)

    def expire(self, request: AsyncRequest) -> None:
        self.expired.append(request.inference_id)

    def put(self, *names: str, ttl_s: float = 21_600) -> None:
        for name in names:
            self.queue.put(
                AsyncRequest(name, "s3://in/x", "s3://out/x", None, {}, ttl_s, 900, None, self.now)
            )

    def finish(self) -> None:
        while self.started:
            self.started.pop(0)()


def test_each_instance_gets_so_many_at_once_and_the_oldest_first() -> None:
    bench = Bench(slots=2)
    bench.put("a", "b", "c")
    bench.queue.step()
    bench.queue.step()
    assert len(bench.started) == 2
    bench.finish()
    bench.queue.step()
    bench.finish()
    assert bench.processed == ["a", "b", "c"]


def test_without_instances_requests_wait_and_only_too_old_ones_expire() -> None:
    bench = Bench(slots=0)
    bench.put("short", ttl_s=60)
    bench.put("long")
    bench.now += 60
    bench.queue.step()
    assert bench.expired == []
    bench.now += 1
    bench.queue.step()
    assert (bench.expired, bench.started) == (["short"], [])
    bench.free = 1
    bench.queue.step()
    bench.finish()
    assert bench.processed == ["long"]


def test_the_backlog_counts_what_is_at_work_too() -> None:
    bench = Bench(slots=1)
    bench.put("a", "b")
    bench.queue.step()
    bench.now += 30
    backlog = bench.queue.backlog()
    assert (backlog.waiting, backlog.size, backlog.oldest_age_s) == (1, 2, 30.0)
    bench.finish()
    bench.queue.step()
    bench.finish()
    assert bench.queue.backlog().size == 0


def test_a_queue_ends_with_its_endpoint() -> None:
    assert Bench(slots=0).queue.step()
    assert not Bench(slots=None).queue.step()


class Unhurried:
    """An endpoint that gives others time to come between two questions."""

    status, fleet, asynchronous = "InService", None, None

    @property
    def name(self) -> str:
        time.sleep(0.05)
        return "unhurried"


def test_an_endpoint_has_one_queue_however_many_ask_for_it_first(tmp_path: Path) -> None:
    """A request does, and who measures the backlog."""
    endpoint: Any = Unhurried()
    invocations = InvokeEndpointAsync(CloudSettings(port=1, state=tmp_path), cast(Any, None))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(invocations.backlog, [endpoint] * 4))
    queues = [one for one in threading.enumerate() if one.name == "async-queue-unhurried"]
    endpoint.status = "Deleting"
    for queue in queues:
        queue.join()
    assert len(queues) == 1
