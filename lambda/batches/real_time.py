"""Batches on a real-time endpoint, one call a picture, in its idle share of the time.

Units of a variant wait in as many groups of the queue as its share of the instances fills, one
picture at a time each, and after a picture a group pauses until the picture was its share of the
time, more or less: its next unit comes back until then. So of the endpoint's other callers no more
than that share find it busy with a batch's picture, and they wait for the rest of that one.
"""

import math
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from batches.queue import BatchQueue, Draw, Part
from batches.records import CANCELLING, FINALIZING, Batch
from batches.settling import Settling
from front_door import endpoint
from front_door.endpoint import SageMakerRuntime
from front_door.errors import FrontDoorError, RequestError
from front_door.generation import GenerationRequest
from front_door.variants import VariantRegistry
from sd_contract.batch import UnitResult
from sd_contract.batch_store import BatchStore
from sd_contract.limits import INVOCATION_S
from sd_contract.registration import Registration
from sd_contract.signing import SigningFailed

TRIES = 3
"""Of a unit whose container failed, or gave no answer."""
# What is at hand is over by then: SageMaker's own limit, and what storing takes.
AT_HAND_S = INVOCATION_S + 10.0


def pause_s(took_s: float, busy: float, spread: Callable[[float, float], float]) -> float:
    """After a picture, for a group that may be `busy` of the time. Were all pauses alike, a caller
    who asks as regularly could meet each picture."""
    return took_s * (1 / busy - 1) * spread(0.5, 1.5)


class Later(Exception):
    """It wasn't the unit's fault, and may have passed by then; the text is for the log."""


class NotYet(Later):
    """Nothing is wrong: the group pauses for `delay_s` more."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        super().__init__(f"pauses for {delay_s:.0f} s")


@dataclass(frozen=True)
class RealTime:
    """`objects` gives a batch's, by its id. `runtime` waits for as long as SageMaker does, and
    tries once. `timer` counts seconds; `spread` is random.uniform."""

    queue: BatchQueue
    settling: Settling
    objects: Callable[[str], BatchStore]
    registry: VariantRegistry
    runtime: SageMakerRuntime
    share: float
    timer: Callable[[], float] = time.monotonic
    spread: Callable[[float, float], float] = random.uniform

    def start(self, batch: Batch) -> None:
        self.queue.send([Part(batch.id, 0)])

    def stop(self, batch: Batch) -> float:  # noqa: ARG002 - the worker looks at its status
        return AT_HAND_S

    def hand_out(self, batch: Batch, part: int) -> None:
        """The part's middle unit brings the next one, so that the queue never runs dry."""
        slots, _ = self._pace(self.registry.resolve(batch.model))
        units = [unit for line in self.objects(batch.id).part(part) for unit in line.units]
        following = part + 1 if part + 1 < batch.parts else None
        middle = len(units) // 2
        self.queue.send(
            Draw(
                batch.id,
                unit,
                part,
                following if number == middle else None,
                f"{batch.model}-{number % slots}",
            )
            for number, unit in enumerate(units)
        )

    def draw(self, batch: Batch, told: Draw, receives: int) -> None:
        """Raises Later."""
        objects, unit = self.objects(batch.id), told.unit
        result = objects.result(unit)
        if result is None:
            if not self.settling.goes_on(batch):
                self._left(batch)
                return
            result = self._drawn(batch, told, objects, receives)
        self.settling.settle(batch, unit, result)

    def _left(self, batch: Batch) -> None:
        """One of a batch that was stopped. Where its units come one after the other, nothing is at
        hand any more, so its end needn't be waited for."""
        if batch.status not in (CANCELLING, FINALIZING) or batch.closed:
            return
        with suppress(FrontDoorError):  # its variant is gone
            if self._pace(self.registry.resolve(batch.model))[0] == 1:
                self.settling.tasks.ask("finish", batch.id)

    def give_up(self, batch: Batch, told: Draw) -> None:
        """Of a unit that came back once too often."""
        objects, unit = self.objects(batch.id), told.unit
        result = objects.result(unit)
        if result is None and self.settling.goes_on(batch):
            result = objects.keep_result(not_drawn(told))
        if result:
            self.settling.settle(batch, unit, result)

    def _drawn(self, batch: Batch, told: Draw, objects: BatchStore, receives: int) -> UnitResult:
        unit, name, store = told.unit, f"{batch.id}-{told.unit.name}", self.settling.store
        if (left_s := store.pauses_until(told.group) - self.settling.now()) > 0:
            raise NotYet(left_s)
        began = self.timer()
        try:
            variant = self.registry.resolve(batch.model)
        except FrontDoorError as error:
            # It went while its batch ran, and may be on its way back.
            raise Later(f"{type(error).__name__}: {error}") from error
        try:
            request = GenerationRequest(variant, unit.asked(objects.load), "url")
            answer = endpoint.generate(self.runtime, request, name)
            _, busy = self._pace(variant)
            pause = pause_s(self.timer() - began, busy, self.spread)
            store.pause(told.group, self.settling.now() + pause)
            return objects.keep(unit, answer)
        except RequestError as error:
            failed = UnitResult.failed(
                unit, str(error), error.code, "invalid_request_error", error.param
            )
            return objects.keep_result(failed)
        except (FrontDoorError, SigningFailed) as error:
            drawn = isinstance(error, SigningFailed) or not error.not_drawn
            # Once more than it is tried, for it may have come too early as well.
            if drawn and receives > TRIES:
                return objects.keep_result(not_drawn(told))
            raise Later(f"{type(error).__name__}: {error}") from error

    def _pace(self, variant: Registration) -> tuple[int, float]:
        """How many pictures at a time, and each group's share of the time."""
        instances = self.share * variant.instance_count
        slots = max(1, math.ceil(instances))
        return slots, instances / slots


def not_drawn(told: Draw) -> UnitResult:
    return UnitResult.failed(told.unit, "The picture could not be drawn.", "engine_error")
