"""How DJL Serving v0.27.0 gathers requests into a batch, takes the answers apart again, and what
becomes of it once its Python process is lost.

Followed: wlm/WorkLoadManager.java (what is refused), BatchAggregator.java and
PermanentBatchAggregator.java (how long a batch is waited for), WorkerThread.java (what ends a
worker), engines/python PyPredictor.java (how a batch is packed: one code and one set of properties
for all its answers).
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from local_cloud.djl.messages import BATCH_SIZE, Input, Output, PairList
from local_cloud.djl.process import ProcessLost

_BATCH_KEY = re.compile(r"batch_(\d+)\.(.*)", re.DOTALL)


class DjlError(Exception):
    """What DJL answers itself; subclasses are named as in Java, whose name the body carries."""

    status = 500


class TranslateException(DjlError):
    status = 400


class WlmException(DjlError):
    status = 503


class WlmCapacityException(WlmException):
    pass


class Predictor(Protocol):
    @property
    def stopped(self) -> bool: ...
    def predict(self, request: Input, timeout_s: float) -> Output:
        """Raises ProcessLost."""


class WorkerJob:
    def __init__(self, request: Input) -> None:
        self.request = request
        self.answer: Future[Output] = Future()


class Worker:
    """The one worker of a GPU model: a thread that takes batches from the queue, oldest first."""

    def __init__(
        self,
        process: Predictor,
        *,
        batch_size: int,
        max_batch_delay_s: float,
        queue_size: int,
        timeout_s: float,
        retry_threshold: int,
    ) -> None:
        self._process = process
        self._batch_size = batch_size
        self._max_batch_delay_s = max_batch_delay_s
        self._queue_size = queue_size
        self._timeout_s = timeout_s
        self._retry_threshold = retry_threshold
        self._jobs: queue.Queue[WorkerJob | None] = queue.Queue(queue_size)
        self._busy = False
        self._lost = False
        self._thread = threading.Thread(target=self._run, name="djl-worker", daemon=True)

    @property
    def status(self) -> str:
        """As `/ping` tells it."""
        return "FAILED" if self._lost > self._retry_threshold else "Healthy"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """After what is in the queue has been answered; once the process is lost nothing is."""
        if not self._lost:
            self._jobs.put(None)
            self._thread.join()

    def submit(self, request: Input) -> Future[Output]:
        """Raises DjlError."""
        if self.status == "FAILED":
            raise WlmException("Model is not ready: djl")
        job = WorkerJob(request)
        # The last place is taken by nobody while the worker is at work.
        last = self._busy and self._jobs.qsize() == self._queue_size - 1
        try:
            if last or self._lost:
                raise queue.Full
            self._jobs.put_nowait(job)
        except queue.Full:
            raise WlmCapacityException("Worker queue capacity exceeded for model: djl") from None
        return job.answer

    def _run(self) -> None:
        while batch := self._next_batch():
            self._busy = True
            try:
                outputs = self._predict([job.request for job in batch])
            except TranslateException as error:
                for job in batch:
                    job.answer.set_exception(error)
            except ProcessLost as error:
                self._lost = True
                # What is in the queue is never answered: its callers run into their time-outs.
                for job in batch:
                    job.answer.set_exception(WlmException(str(error)))
                return
            else:
                for job, output in zip(batch, outputs, strict=True):
                    job.answer.set_result(output)
            finally:
                self._busy = False

    def _predict(self, requests: Sequence[Input]) -> list[Output]:
        if self._process.stopped:
            # Neither counted as a failure nor an end of the worker: so it goes on for good.
            raise TranslateException("Backend Python process is stopped.")
        return predict(lambda sent: self._process.predict(sent, self._timeout_s), requests)

    def _next_batch(self) -> list[WorkerJob]:
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


def predict(send: Callable[[Input], Output], requests: Sequence[Input]) -> list[Output]:
    """One answer a request, in order. Raises TranslateException for an answer that doesn't fit its
    batch, and what `send` raises."""
    if len(requests) == 1:
        return [send(requests[0])]
    output = send(pack(requests))
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
        raise TranslateException(
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
            raise TranslateException(f"Unexpected batch output key: {name}")
        answers[int(match[1])].content.add(match[2], data)
    return answers
