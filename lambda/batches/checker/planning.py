"""A new batch: checked, its engine chosen, its work written, its engine started."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from batches.checker.checking import (
    MOST_ERRORS,
    Checked,
    CheckedLine,
    Checker,
    LineError,
    fits_requests,
)
from batches.checker.ending import Ending
from batches.fleets import Fleets, NoFleet
from batches.objects import JSONL, ObjectNotThere, Objects
from batches.records import FAILED, IN_PROGRESS, VALIDATING, Batch
from batches.runner import Runner
from batches.store import NotThere, Store
from sd_contract.batch import PART_PICTURES, BatchKeys
from sd_contract.fields import Problem
from sd_contract.registration import ASYNC, BULK, REAL_TIME, Registration

ENGINE = "engine"
"""Of a batch's metadata: asks for one of a variant's SERVES."""


@dataclass(frozen=True)
class Plan:
    engine: str
    variant: Registration
    price_usd_per_hour: float | None


@dataclass(frozen=True)
class Planner:
    """`runner` gives one by its engine's name."""

    store: Store
    objects: Objects
    checker: Checker
    fleets: Fleets
    runner: Callable[[str], Runner]
    ending: Ending
    bulk_pictures: int

    def check(self, id: str) -> None:
        batch: Batch | None = self.store.batch(id)
        assert batch is not None
        if batch.status == VALIDATING:
            batch = self._plan(batch)
        if batch is None or batch.status != IN_PROGRESS or batch.in_progress_at is not None:
            return
        self.runner(batch.engine).start(batch)
        self.store.change(id, (IN_PROGRESS,), in_progress_at=int(self.store.now()))

    def _plan(self, batch: Batch) -> Batch | None:
        """In progress; None if it isn't, having failed or been cancelled meanwhile."""
        checked = self._checked(batch)
        errors: Sequence[LineError] = checked.errors
        if not errors:
            plan = self._choice(batch, checked)
            if isinstance(plan, Plan):
                return self._in_progress(batch, checked, plan)
            errors = plan
        shown = [error.document() for error in errors[:MOST_ERRORS]]
        if len(errors) > MOST_ERRORS:
            message = f"and {len(errors) - MOST_ERRORS} more"
            shown.append(LineError(None, Problem(None, message, "more_errors")).document())
        now = int(self.store.now())
        if failed := self.store.change(
            batch.id, (VALIDATING,), status=FAILED, failed_at=now, errors=shown
        ):
            self.ending.tell(failed)
        return None

    def _checked(self, batch: Batch) -> Checked:
        try:
            file = self.store.file(batch.input_file_id)
            lines = self.objects.lines(file.key, self.checker.line_bytes)
            return self.checker.check(lines, batch, self._keeper(BatchKeys(batch.id)))
        except (NotThere, ObjectNotThere):
            message = f"input_file_id: {batch.input_file_id!r} is not there (any more)"
            problem = Problem("input_file_id", message, "file_not_found")
            return Checked((), (LineError(None, problem),))

    def _keeper(self, keys: BatchKeys) -> Callable[[bytes], str]:
        kept: set[str] = set()

        def keep(content: bytes) -> str:
            key = keys.edit(hashlib.sha256(content).hexdigest())
            if key not in kept:
                self.objects.put(key, content, "application/octet-stream")
                kept.add(key)
            return key

        return keep

    def _choice(self, batch: Batch, checked: Checked) -> Plan | Sequence[LineError]:
        variant = checked.lines[0].variant
        try:
            fleet = self.fleets.find(variant.name)
        except NoFleet:
            message = f"model: {variant.name!r} was deployed without batches: deploy it anew"
            return [LineError(None, Problem("model", message, "no_batches"))]
        wanted = (batch.metadata or {}).get(ENGINE)
        if wanted is not None and wanted not in fleet.serve:
            message = (
                f"metadata: {ENGINE} must be one of {', '.join(fleet.serve)}, which model "
                f"{variant.name!r} is deployed as, not {wanted[:80]!r}"
            )
            return [LineError(None, Problem("metadata", message, "engine_not_served"))]
        slow = fits_requests(checked.lines)
        engine = wanted or _engine(fleet.serve, checked.images > self.bulk_pictures or bool(slow))
        if engine == REAL_TIME and slow:
            return slow
        if engine == REAL_TIME and variant.stopped:
            message = f"model: {variant.name!r} is stopped. To start it: {variant.stopped.start}"
            return [LineError(None, Problem("model", message, "model_stopped"))]
        price = variant.price_usd_per_hour
        if engine == BULK:
            price = fleet.bulk.price_usd_per_hour if fleet.bulk else None
        return Plan(engine, variant, price)

    def _in_progress(self, batch: Batch, checked: Checked, plan: Plan) -> Batch | None:
        keys = BatchKeys(batch.id)
        parts = list(_parts(checked.lines))
        for number, part in enumerate(parts):
            text = "".join(f"{line.work.to_json()}\n" for line in part)
            self.objects.put(keys.part(number), text.encode(), JSONL)
        return self.store.change(
            batch.id,
            (VALIDATING,),
            status=IN_PROGRESS,
            model=plan.variant.name,
            engine=plan.engine,
            total=len(checked.lines),
            images=checked.images,
            parts=len(parts),
            **(
                {}
                if plan.price_usd_per_hour is None
                else {"price_usd_per_hour": plan.price_usd_per_hour}
            ),
        )


def _engine(serve: Sequence[str], large: bool) -> str:
    order = (BULK, ASYNC, REAL_TIME) if large else (ASYNC, REAL_TIME, BULK)
    return next(engine for engine in order if engine in serve)


def _parts(lines: Sequence[CheckedLine]) -> Iterator[list[CheckedLine]]:
    """Of PART_PICTURES at most, in order; a line is never parted."""
    part: list[CheckedLine] = []
    images = 0
    for line in lines:
        if images + line.work.images > PART_PICTURES:
            yield part
            part, images = [], 0
        part.append(line)
        images += line.work.images
    yield part
