"""Whether a process is still there, and those that another has started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import psutil


def alive(pid: int) -> bool:
    """A process that nobody has waited for yet is none."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def descendants(pid: int) -> Iterator[tuple[psutil.Process, Mapping[str, str]]]:
    """Each with its environment. Of one cloud alone, as others may run on this machine."""
    for process in psutil.Process(pid).children(recursive=True):
        try:
            yield process, process.environ()
        except psutil.Error:
            """It has ended meanwhile."""
