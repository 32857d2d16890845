"""One JSON line an event, on standard output, where CloudWatch picks it up. Prompts never go in."""

from __future__ import annotations

import json
import sys
from typing import Protocol


class Log(Protocol):
    def __call__(self, event: str, **fields: object) -> None: ...


def print_event(event: str, **fields: object) -> None:
    print_line(json.dumps({"event": event, **fields}, default=str))


def print_line(line: str) -> None:
    """In one write, its end included: `print` makes two of it where Python buffers nothing, and
    what a DJL container's mpirun puts between them breaks the line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
