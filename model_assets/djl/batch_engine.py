"""The engine with a memory of how requests were batched, for the log, the metric, the answer and
the second attempt after too large a batch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sd_serving.config import size_text
from sd_serving.contract import GenerationRequest
from sd_serving.engine import Engine, GenerationResult
from sd_serving.errors import OutOfMemory


@dataclass(frozen=True)
class Group:
    """Requests of one size, steps and guidance, denoised by one call of the engine."""

    requests: int
    images: int
    size: str
    steps: int
    guidance_scale: float
    outcome: str
    """`ok`, `out_of_memory` or `failed`"""
    ms: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class BatchEngine(Engine):
    groups: tuple[Group, ...] = ()
    """Since `forget`, in the order they ran."""

    def forget(self) -> None:
        self.groups = ()

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        started = time.perf_counter()
        outcome = "failed"
        try:
            results = super().generate(requests)
            outcome = "ok"
        except OutOfMemory:
            outcome = "out_of_memory"
            raise
        finally:
            first = requests[0]
            group = Group(
                requests=len(requests),
                images=sum(request.num_images for request in requests),
                size=size_text((first.height, first.width)),
                steps=first.num_inference_steps,
                guidance_scale=first.guidance_scale,
                outcome=outcome,
                ms=round((time.perf_counter() - started) * 1000, 3),
            )
            self.groups = (*self.groups, group)
        return results

    def describe(self, request: GenerationRequest, result: GenerationResult) -> dict[str, Any]:
        """`batch` is the number of requests that this one was denoised with, itself included; the
        handler asks for it right after the group was made."""
        return {**super().describe(request, result), "batch": self.groups[-1].requests}
