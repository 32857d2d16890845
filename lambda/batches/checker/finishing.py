"""A batch's end: what came of its lines, in their order, as OpenAI's output and error files."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from batches.checker.ending import Ending
from batches.objects import JSONL, Objects
from batches.records import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    ENDS,
    EXPIRED,
    FINALIZING,
    IN_PROGRESS,
    OUTPUT,
    VALIDATING,
    Batch,
    File,
)
from batches.runner import Runner
from batches.store import Store
from batches.tasks import Tasks
from front_door.response_body import pictures_body
from sd_contract.batch import BatchKeys, UnitResult, WorkLine
from sd_contract.batch_store import work_lines
from sd_contract.invocation import STAGES

# What the joining takes, and then some.
RESERVE_S = 120.0
WORKERS = 32
"""Requests at once."""
COUNTED = ("completed", "failed", "missing", "pictures", "instance_ms", "input_tokens")
_NOT_DRAWN = {
    CANCELLED: ("batch_cancelled", "This request was not executed, as the batch was cancelled."),
    EXPIRED: ("batch_expired", "This request could not be executed before the batch expired."),
    COMPLETED: ("not_drawn", "This request could not be executed; it may be sent again."),
}
"""By the batch's end: code and message of what has no result."""


@dataclass(frozen=True)
class Finisher:
    """`runner` gives one by its engine's name; `sleep` waits so many seconds."""

    store: Store
    objects: Objects
    tasks: Tasks
    ending: Ending
    runner: Callable[[str], Runner]
    sleep: Callable[[float], None]

    def stop(self, id: str, left_s: Callable[[], float]) -> None:
        """A batch that is cancelled, or past its deadline; no other."""
        batch = self.store.batch(id)
        now = int(self.store.now())
        if batch.status in (VALIDATING, IN_PROGRESS) and now > batch.deadline:
            late = self.store.change(
                id, (VALIDATING, IN_PROGRESS), status=FINALIZING, finalizing_at=now
            )
            batch = late or self.store.batch(id)
        if batch.status not in (FINALIZING, CANCELLING):
            return
        wait_s = self.runner(batch.engine).stop(batch) if batch.engine else 0.0
        if wait_s is not None:
            self.sleep(wait_s)
            self.finish(id, left_s)

    def finish(self, id: str, left_s: Callable[[], float]) -> None:
        """May be called again, and at the same time. `left_s()` are the seconds that this call may
        still take; what it doesn't come to, another does."""
        now = int(self.store.now())
        self.store.change(id, (IN_PROGRESS,), status=FINALIZING, finalizing_at=now)
        batch = self.store.change(id, (FINALIZING, CANCELLING), closed=True)
        if batch is None:
            if (ended := self.store.batch(id)).status in ENDS:
                self.ending.tell(ended)
            return
        if not self._compose(batch, left_s):
            self.tasks.ask("finish", id)
            return
        changes = self._join(batch)
        short = changes.pop("missing") or batch.status == CANCELLING
        end = _end_of_missing(batch) if short else COMPLETED
        now = int(self.store.now())
        ended_or_not = self.store.change(
            id, (FINALIZING, CANCELLING), status=end, **{f"{end}_at": now}, **changes
        )
        self.ending.tell(ended_or_not or self.store.batch(id))

    def _compose(self, batch: Batch, left_s: Callable[[], float]) -> bool:
        """Each part's lines, put together by itself; False: there wasn't the time for all."""
        keys = BatchKeys(batch.id)
        composed = self.objects.keys(_composed(keys))
        missing = [
            number for number in range(batch.parts) if _composed(keys, number) not in composed
        ]
        drawn = self.objects.keys(keys.results) if missing else set()
        with ThreadPoolExecutor(WORKERS) as pool:
            for number in missing:
                if left_s() < RESERVE_S:
                    return False
                lines = work_lines(self.objects.read(keys.part(number)))
                wanted = [
                    key for line in lines for key in map(keys.result, line.units) if key in drawn
                ]
                results = map(UnitResult.from_json, pool.map(self.objects.read, wanted))
                part = compose(batch, lines, list(results))
                content = json.dumps(part).encode()
                self.objects.put(_composed(keys, number), content, "application/json")
        return True

    def _join(self, batch: Batch) -> dict[str, Any]:
        """The batch's files, and what changes in its record."""
        keys = BatchKeys(batch.id)
        names = [_composed(keys, number) for number in range(batch.parts)]
        with ThreadPoolExecutor(WORKERS) as pool:
            parts = [json.loads(part) for part in pool.map(self.objects.read, names)]
        changes: dict[str, Any] = {name: sum(part[name] for part in parts) for name in COUNTED}
        for kind, key in (("output", keys.output), ("error", keys.errors)):
            content = "".join(part[kind] for part in parts).encode()
            if content:
                self.objects.put(key, content, JSONL)
                file = self._file(batch, kind, key, len(content))
                self.store.add(file)
                changes[f"{kind}_file_id"] = file.id
        return changes

    def _file(self, batch: Batch, kind: str, key: str, size: int) -> File:
        return File(
            # The same, whoever finishes it.
            id=f"{batch.id.replace('batch_', 'file-')}-{kind}",
            created_at=int(self.store.now()),
            expires_at=batch.expires_at,
            filename=f"{batch.id}_{kind}.jsonl",
            purpose=OUTPUT,
            key=key,
            bytes=size,
        )


def compose(
    batch: Batch, lines: Sequence[WorkLine], results: Sequence[UnitResult]
) -> dict[str, Any]:
    """Of a part of the work: its `output` and `error` lines as texts, what is COUNTED in it, and
    how many of its lines are `missing` a picture that nothing speaks against."""
    by_line: dict[int, list[UnitResult]] = {}
    for result in results:
        by_line.setdefault(result.line, []).append(result)
    part: dict[str, Any] = {"output": "", "error": "", **dict.fromkeys(COUNTED, 0)}
    for line in lines:
        of_line = by_line.get(line.line, [])
        drawn = [result for result in of_line if result.error is None]
        failed = [result.error for result in of_line if result.error is not None]
        if drawn:
            body = _body(batch, line, drawn)
            part["output"] += _written(batch, line, _response(200, batch, line, body), None)
        if failed:
            status = 400 if failed[0]["type"] == "invalid_request_error" else 500
            body = {"error": failed[0]}
            part["error"] += _written(batch, line, _response(status, batch, line, body), None)
        elif len(drawn) < line.images:
            code, message = _NOT_DRAWN[_end_of_missing(batch)]
            part["error"] += _written(batch, line, None, {"code": code, "message": message})
        part["completed"] += len(drawn) == line.images
        part["failed"] += bool(failed)
        part["missing"] += not failed and len(drawn) < line.images
        part["pictures"] += len(drawn)
        part["instance_ms"] += round(sum(result.instance_ms for result in drawn))
        part["input_tokens"] += sum(result.input_tokens for result in drawn)
    return part


def _body(batch: Batch, line: WorkLine, drawn: Sequence[UnitResult]) -> dict[str, Any]:
    """A request's answer, of the pictures that are there; they are links once it is fetched."""
    asked = next(line.units).asked(lambda _: b"")
    warnings = list(dict.fromkeys(warning for each in drawn for warning in each.warnings))
    if len(drawn) < line.images:
        warnings.append(f"n: {len(drawn)} of the {line.images} pictures were drawn.")
    return pictures_body(
        batch.model,
        asked,
        [{"key": each.key, "seed": each.seed} for each in drawn],
        created=batch.created_at,
        input_tokens=sum(each.input_tokens for each in drawn),
        instance_ms=sum(each.instance_ms for each in drawn),
        timings_ms={
            stage: round(sum(each.timings_ms.get(stage, 0) for each in drawn), 1)
            for stage in STAGES
        },
        warnings=warnings,
    )


def _response(status: int, batch: Batch, line: WorkLine, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"status_code": status, "request_id": _request_id(batch, line), "body": body}


def _written(
    batch: Batch,
    line: WorkLine,
    response: Mapping[str, Any] | None,
    error: Mapping[str, Any] | None,
) -> str:
    document = {
        "id": f"batch_req_{_request_id(batch, line)}",
        "custom_id": line.custom_id,
        "response": response,
        "error": error,
    }
    return json.dumps(document) + "\n"


def _request_id(batch: Batch, line: WorkLine) -> str:
    return f"{batch.id.removeprefix('batch_')}-{line.line:06d}"


def _end_of_missing(batch: Batch) -> str:
    """The end of a batch whose lines are not all done; the same whenever it's asked for."""
    if batch.status == CANCELLING:
        return CANCELLED
    return EXPIRED if (batch.finalizing_at or 0) > batch.deadline else COMPLETED


def _composed(keys: BatchKeys, number: int | None = None) -> str:
    folder = f"{keys.folder}composed/"
    return folder if number is None else f"{folder}part-{number:05d}.json"
