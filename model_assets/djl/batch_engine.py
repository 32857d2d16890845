"""The engine with a memory of how requests were batched, for the log and the answer, and with an
end to a batch that nobody waits for any more."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sd_contract.invocation import Answer, Invocation
from sd_contract.limits import INVOCATION_S
from sd_serving.config import ServingConfig
from sd_serving.edits import Task
from sd_serving.engine import Engine
from sd_serving.errors import EngineError, OutOfMemory
from sd_serving.parts import Parts
from sd_serving.stage_clock import ms_since

CALLERS_WAIT_S = float(INVOCATION_S)
"""InvokeEndpoint's limit. The largest batch that the limits allow would take longer, and past DJL's
PREDICT_TIMEOUT (the Dockerfile has it) it would cost the whole process: all requests of a batch are
answered at once, so the time-out is for all of them."""
PATIENT_S = 180.0
"""Where all of them wait for longer: as much as PREDICT_TIMEOUT leaves room for."""


class GaveUp(EngineError):
    """Says nothing about the model: the batch took longer than its callers wait."""

    status = 503


@dataclass(frozen=True)
class Group:
    """Requests that share their `batch_key`, denoised by one call of the engine."""

    requests: int
    images: int
    size: str
    steps: int
    guidance_scale: float
    strength: float | None
    """None where they aren't edits."""
    quality: str
    outcome: str
    """`ok`, `out_of_memory`, `gave_up` or `failed`"""
    ms: float


class BatchEngine(Engine):
    groups: tuple[Group, ...] = ()
    """Since `begin`, in the order they ran."""

    def __init__(
        self, parts: Parts, config: ServingConfig, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` counts seconds."""
        super().__init__(parts, config)
        self._clock = clock
        self._limit_s, self._deadline = CALLERS_WAIT_S, math.inf

    def begin(self, *, patient: bool = False) -> None:
        """A new batch has come in."""
        self.groups = ()
        self._limit_s = PATIENT_S if patient else CALLERS_WAIT_S
        self._deadline = self._clock() + self._limit_s

    def warm_up(self) -> None:
        self._deadline = math.inf
        super().warm_up()

    def warmup_requests(self) -> list[Invocation]:
        """The largest pass first: DeepSpeed's workspace is made for it. And one picture without
        guidance."""
        guided = super().warmup_requests()
        single = [replace(each, guidance_scale=1.0) for each in guided if each.num_images == 1]
        return list(dict.fromkeys([*guided, *single]))

    def before_step(self) -> None:
        if self._clock() > self._deadline:
            raise GaveUp(f"given up: after {self._limit_s:g} s nobody waits for the answer")

    def draw(self, tasks: Sequence[Task]) -> list[Answer]:
        """Of an answer's `engine`, `batch` is the number of requests that this one was denoised
        with, itself included."""
        started = time.perf_counter()
        outcome = "failed"
        try:
            answers = super().draw(tasks)
            outcome = "ok"
        except OutOfMemory:
            outcome = "out_of_memory"
            raise
        except EngineError as error:
            if isinstance(error.__cause__, GaveUp):
                outcome = "gave_up"
                raise error.__cause__ from None
            raise
        finally:
            first = tasks[0].request
            group = Group(
                requests=len(tasks),
                images=sum(task.request.num_images for task in tasks),
                size=str(first.size),
                steps=first.num_inference_steps,
                guidance_scale=first.guidance_scale,
                strength=first.strength,
                quality=first.quality,
                outcome=outcome,
                ms=ms_since(started),
            )
            self.groups = (*self.groups, group)
        return [
            replace(answer, engine={**answer.engine, "batch": len(tasks)}) for answer in answers
        ]
