"""One JSON line an event, on standard output, where CloudWatch picks it up. Prompts never go in."""

from __future__ import annotations

import json
from typing import Protocol


class Log(Protocol):
    def __call__(self, event: str, **fields: object) -> None: ...


def print_event(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}, default=str), flush=True)
