"""Wall time by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sd_contract.invocation import STAGES

if TYPE_CHECKING:
    import torch


class StageClock:
    """Adds up, and remembers the stage for error messages."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.stage = STAGES[0]
        self.spent_ms: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        import torch

        self.stage = stage
        started = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # kernels are only queued until here
        self.spent_ms[stage] = round(self.spent_ms[stage] + ms_since(started), 3)


def ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
