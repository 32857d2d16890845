"""Whether a process is still there."""

from __future__ import annotations

import psutil


def alive(pid: int) -> bool:
    """A process that nobody has waited for yet is none."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
