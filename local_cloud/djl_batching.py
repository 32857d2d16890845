"""How DJL Serving v0.27.0 gathers requests into a batch and takes the answers apart again.

Followed: wlm/BatchAggregator.java and PermanentBatchAggregator.java (how long a batch is waited
for), engines/python PyPredictor.java (how it is packed: one code and one set of properties for all
its answers), setup/djl_python_engine.py (what becomes of what the handler returns or raises).
"""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from local_cloud.djl_messages import BATCH_SIZE, Input, Output, PairList

Handle = Callable[[Input], object]
Observe = Callable[[int], None]
"""Told the size of every batch that is more than one request."""

_BATCH_KEY = re.compile(r"batch_(\d+)\.(.*)", re.DOTALL)
_OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError")

logger = logging.getLogger("local_cloud.djl")


class BadBatch(Exception):
    """The handler's answer doesn't fit its batch: DJL's TranslateException, HTTP 400."""


class QueueFull(Exception):
    """DJL's WlmCapacityException, HTTP 503."""


class Job:
    def __init__(self, request: Input) -> None:
        self.request = request
        self.answer: Future[Output] = Future()


class Worker:
    """The one worker of a GPU model: a thread that takes batches from the queue, oldest first."""

    def __init__(
        self,
        handle: Handle,
        *,
        batch_size: int,
        max_batch_delay_s: float,
        queue_size: int,
        observe: Observe,
    ) -> None:
        self._handle = handle
        self._batch_size = batch_size
        self._max_batch_delay_s = max_batch_delay_s
        self._jobs: queue.Queue[Job | None] = queue.Queue(queue_size)
        self._observe = observe
        self._thread = threading.Thread(target=self._run, name="djl-worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """After what is in the queue has been answered."""
        self._jobs.put(None)
        self._thread.join()

    def submit(self, request: Input) -> Future[Output]:
        """Raises QueueFull."""
        job = Job(request)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise QueueFull("worker queue capacity exceeded") from None
        return job.answer

    def _run(self) -> None:
        while batch := self._next_batch():
            if len(batch) > 1:
                self._observe(len(batch))
            try:
                outputs = predict(self._handle, [job.request for job in batch])
            except BadBatch as error:
                for job in batch:
                    job.answer.set_exception(error)
                continue
            for job, output in zip(batch, outputs, strict=True):
                job.answer.set_result(output)

    def _next_batch(self) -> list[Job]:
        """Waits for one job, takes what is there, and waits for the rest of a full batch at most
        the delay in all. Empty once stopped."""
        first = self._jobs.get()
        batch = [] if first is None else [first]
        deadline = time.monotonic() + self._max_batch_delay_s
        while batch and len(batch) < self._batch_size:
            wait = deadline - time.monotonic()
            try:
                job = self._jobs.get(timeout=wait) if wait > 0 else self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)  # for the next call
                break
            batch.append(job)
        return batch


def predict(handle: Handle, requests: Sequence[Input]) -> list[Output]:
    """One answer a request, in order. Raises BadBatch."""
    if len(requests) == 1:
        return [invoke(handle, requests[0])]
    output = invoke(handle, pack(requests))
    return [output] * len(requests) if output.code >= 300 else unpack(output, len(requests))


def pack(requests: Sequence[Input]) -> Input:
    batch = Input()
    batch.properties[BATCH_SIZE] = str(len(requests))
    for index, request in enumerate(requests):
        prefix = f"batch_{index:03d}."
        for key, value in request.properties.items():
            batch.properties[prefix + key] = value
        for name, data in request.content.items():
            batch.content.add(prefix + (name or "data"), data)
    return batch


def unpack(output: Output, size: int) -> list[Output]:
    if output.content.size() != size:
        raise BadBatch(
            f"Batch output size mismatch, expected: {size}, actual: {output.content.size()}"
        )
    answers = []
    for _ in range(size):
        answer = Output(output.code, output.message)
        answer.properties = output.properties
        answer.content = PairList()
        answers.append(answer)
    for name, data in output.content.items():
        match = _BATCH_KEY.fullmatch(name or "")
        if match is None or int(match[1]) >= size:
            raise BadBatch(f"Unexpected batch output key: {name}")
        answers[int(match[1])].content.add(match[2], data)
    return answers


def invoke(handle: Handle, request: Input) -> Output:
    """What DJL's Python process answers, whatever the handler does."""
    try:
        returned = handle(request)
    except Exception as error:
        logger.exception("Failed invoke service.invoke_handler()")
        if type(error).__name__ in _OUT_OF_MEMORY:
            return Output(507, str(error))
        return Output().error(str(error))
    if returned is None:
        return Output(204, "No content")
    if not isinstance(returned, Output):
        return Output().error(f"Invalid output type: {type(returned)}")
    return returned
