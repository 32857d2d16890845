"""How asynchronous invocations wait for their turn, on a clock of the test's."""

from __future__ import annotations

from collections.abc import Callable

from local_cloud.sagemaker.async_queue import AsyncQueue
from local_cloud.sagemaker.async_request import AsyncRequest


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
