"""What a function has printed when it answers is in its log, however busy the machine is."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import IO

import pytest

from local_cloud.ministack.function_output import Output


class Printed:
    """A process's output: what is written to `end`."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.pipe: IO[str] = os.fdopen(reading)
        self.end: IO[bytes] = os.fdopen(writing, "wb", buffering=0)
        self.lines: SimpleQueue[str] = SimpleQueue()
        self.output = Output(self.pipe, self.lines)

    def said(self) -> list[str]:
        return [self.lines.get_nowait() for _ in range(self.lines.qsize())]


@pytest.fixture
def printed() -> Iterator[Printed]:
    made = Printed()
    yield made
    made.end.close()
    made.pipe.close()


def test_all_that_was_written_is_there_without_the_thread_that_reads_it(printed: Printed) -> None:
    """Which may not have had its turn."""
    printed.output.catch_up()
    assert printed.said() == []
    printed.end.write(b"one\n\ntwo\nbeg")
    printed.output.catch_up()
    assert printed.said() == ["one", "", "two"]
    printed.end.write(b"un\n")
    printed.output.catch_up()
    assert printed.said() == ["begun"]


def test_lines_are_read_once_and_in_order_by_whoever_comes_first(printed: Printed) -> None:
    reader = threading.Thread(target=printed.output.follow)
    reader.start()
    for number in range(2000):
        printed.end.write(f"{number}\n".encode())
        printed.output.catch_up()
        assert printed.lines.get_nowait() == str(number)
    printed.end.write(b"without an end")
    printed.end.close()
    reader.join()
    assert printed.said() == ["without an end"]
    printed.output.catch_up()
