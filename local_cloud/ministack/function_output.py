"""What a function has printed by the time that it answers, which is its log.

MiniStack gives the thread that reads it some milliseconds. On a busy machine that is too little:
lines, and the metrics in them, are missing.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import IO, Any

from ministack.core.lambda_runtime import Worker


class Output:
    """A process's, line by line into `lines`; read by a thread of its own, so that the process
    isn't held up, and by whoever wants all that is there."""

    def __init__(self, pipe: IO[Any], lines: SimpleQueue[str]) -> None:
        self._pipe, self._lines = pipe, lines
        self._lock = threading.Lock()
        self._begun = b""

    def follow(self) -> None:
        """Returns at its end."""
        while self._read(wait=True):
            pass

    def catch_up(self) -> None:
        """With all that was written before."""
        while self._read(wait=False):
            pass

    def _read(self, *, wait: bool) -> bool:
        """Whether there may be more."""
        if wait:
            self._ready(None)
        with self._lock:
            if not self._ready(0):
                return wait
            read = os.read(self._pipe.fileno(), 1 << 16)
            *whole, self._begun = (self._begun + read).split(b"\n")
            if not read and self._begun:
                whole, self._begun = [self._begun], b""
            for line in whole:
                self._lines.put(line.decode(errors="replace"))
        return bool(read)

    def _ready(self, timeout_ms: int | None) -> bool:
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        return bool(poll.poll(timeout_ms))


def read_function_output() -> None:
    """Once, before anything is served."""
    drain_bounded = Worker._drain_stderr_bounded

    def begin(worker: Any) -> Callable[[], None]:
        """Looked up as a new process's reading thread is made."""
        worker.output = Output(worker._proc.stderr, worker._stderr_queue)
        follow: Callable[[], None] = worker.output.follow
        return follow

    def drain(worker: Any, **waits: float) -> str:
        # Runtimes of one's own have another way.
        if (output := vars(worker).get("output")) is None:
            return str(drain_bounded(worker, **waits))
        output.catch_up()
        return str(worker._drain_stderr())

    Worker._read_stderr = property(begin)
    Worker._drain_stderr_bounded = drain
