"""The table: records of files and batches, what of a batch is counted, and keys that make of a
repeated request one."""

import math
import random
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from batches.records import DRAWING, Batch, File, from_item, to_attribute, to_item
from sd_contract.batch import Unit, UnitResult

BATCH, FILE, IDEMPOTENCY, PAUSE = "batch", "file", "idempotency", "pause"
"""Partition keys; a batch's own has its counted units."""
IDEMPOTENCY_S = 24 * 3600
MOST_KEY_BYTES = 1024
"""DynamoDB's, of a sort key."""
# Of a write that meets a transaction at its item.
TRIES = 10
_CONFLICTS = {"TransactionConflict", "TransactionConflictException"}
R = TypeVar("R", Batch, File)
T = TypeVar("T")
_KINDS: Mapping[type, str] = {Batch: BATCH, File: FILE}


class NotThere(KeyError):
    """The table has no such record."""


class Taken(Exception):
    """The key has made a batch already, for a request of that fingerprint."""

    def __init__(self, batch_id: str, fingerprint: str) -> None:
        self.batch_id, self.fingerprint = batch_id, fingerprint
        super().__init__(batch_id)


def new_id(now_s: float) -> str:
    """Sorts by time, to the millisecond."""
    return f"{int(now_s * 1000):012x}{secrets.token_hex(10)}"


@dataclass(frozen=True)
class Sent:
    """A unit's request to an asynchronous endpoint: which try, from 0, and where a failure's body
    will be, as a URI."""

    tries: int
    failure: str


@dataclass(frozen=True)
class Store:
    """`table` is botocore's client of DynamoDB, whose errors pass through; `name` the table's;
    `now` in seconds since the epoch."""

    table: Any
    name: str
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def add(self, record: Batch | File) -> None:
        self.table.put_item(TableName=self.name, Item=_item(record))

    def add_once(self, batch: Batch, key: str, fingerprint: str) -> None:
        """Raises Taken if `key` has been used in the last IDEMPOTENCY_S."""
        now = int(self.now())
        claim = {"batch_id": batch.id, "fingerprint": fingerprint}
        item = _key(IDEMPOTENCY, key) | _attributes(claim | {"expires_at": now + IDEMPOTENCY_S})
        try:
            self._again(
                lambda: self._transact(
                    {
                        "Put": {
                            "Item": item,
                            # DynamoDB deletes what has expired within days, not at once.
                            "ConditionExpression": "attribute_not_exists(pk) OR expires_at < :now",
                            "ExpressionAttributeValues": {":now": to_attribute(now)},
                        }
                    },
                    {"Put": {"Item": _item(batch)}},
                )
            )
        except ClientError as error:
            if "ConditionalCheckFailed" not in _reasons(error):
                raise
            taken = self._get(IDEMPOTENCY, key)
            raise Taken(taken["batch_id"]["S"], taken["fingerprint"]["S"]) from None

    def batch(self, id: str) -> Batch:
        """Raises NotThere."""
        return from_item(Batch, self._get(BATCH, id))

    def file(self, id: str) -> File:
        """Raises NotThere."""
        return from_item(File, self._get(FILE, id))

    def list(
        self, kind: type[R], limit: int, after: str = "", purpose: str | None = None
    ) -> tuple[list[R], bool]:
        """The newest first, those older than `after`, files of that purpose alone; and whether
        there are more."""
        values = {":pk": to_attribute(_KINDS[kind])}
        which = {}
        if after:
            values[":after"] = to_attribute(after)
        if purpose:
            values[":purpose"] = to_attribute(purpose)
            which = {"FilterExpression": "purpose = :purpose"}
        pages = self.table.get_paginator("query").paginate(
            TableName=self.name,
            KeyConditionExpression="pk = :pk" + (" AND sk < :after" if after else ""),
            ExpressionAttributeValues=values,
            ScanIndexForward=False,
            **which,
            PaginationConfig={"MaxItems": limit + 1, "PageSize": limit + 1},
        )
        found = [from_item(kind, item) for page in pages for item in page["Items"]]
        return found[:limit], len(found) > limit

    def delete_file(self, id: str) -> None:
        self.table.delete_item(TableName=self.name, Key=_key(FILE, id))

    def stored(self, id: str, bytes: int) -> None:
        """What is known of a file once it is there."""
        self.table.update_item(
            TableName=self.name,
            Key=_key(FILE, id),
            UpdateExpression="SET #bytes = :bytes, upload_bytes = :none",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeNames={"#bytes": "bytes"},
            ExpressionAttributeValues=_attributes({":bytes": bytes, ":none": 0}),
        )

    def change(self, id: str, when: Collection[str], **changes: Any) -> Batch | None:
        """The batch with `changes`; None, and unchanged, if its status is not one of `when`."""
        statuses = {f":when{number}": status for number, status in enumerate(when)}
        try:
            changed = self._again(
                lambda: self.table.update_item(
                    TableName=self.name,
                    Key=_key(BATCH, id),
                    UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in changes),
                    ConditionExpression=f"#status IN ({', '.join(statuses)})",
                    ExpressionAttributeNames={
                        "#status": "status",
                        **{f"#{name}": name for name in changes},
                    },
                    ExpressionAttributeValues=_attributes(
                        {**statuses, **{f":{name}": value for name, value in changes.items()}}
                    ),
                    ReturnValues="ALL_NEW",
                )
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return None
        return from_item(Batch, changed["Attributes"])

    def count(self, batch: Batch, unit: Unit, result: UnitResult) -> bool:
        """Once a unit, however often it is called for it; after its result is in the bucket. False
        if it is counted already, or the batch takes no more. A line counts with its last unit."""
        for _ in range(TRIES):
            done, failed = self._line(batch.id, unit)
            failed += result.error is not None
            is_last = done + 1 == unit.line_images
            adds = {
                "pictures": int(result.error is None),
                "instance_ms": round(result.instance_ms),
                "input_tokens": result.input_tokens,
                "completed": int(is_last and not failed),
                "failed": int(is_last and failed > 0),
            }
            line = self._line_update(batch, unit, done, failed) if unit.line_images > 1 else ()
            try:
                self._transact(self._mark(batch, unit), self._add(batch.id, adds), *line)
            except ClientError as error:
                marked, added, *_ = [*_reasons(error), "", ""]
                if "ConditionalCheckFailed" in (marked, added):
                    return False
                if not _reasons(error):
                    raise
            else:
                return True
            self._part()
        raise TimeoutError(f"{batch.id}: {unit.name} could not be counted in {TRIES} tries")

    def sent(self, batch_id: str, unit: str) -> Sent | None:
        try:
            return from_item(Sent, self._get(batch_id, f"sent-{unit}"))
        except NotThere:
            return None

    def mark_sent(self, batch: Batch, unit: str, sent: Sent) -> None:
        more = _attributes({"expires_at": batch.expires_at}) | to_item(sent)
        self.table.put_item(TableName=self.name, Item=_key(batch.id, f"sent-{unit}") | more)

    def pauses_until(self, group: str) -> float:
        """In seconds since the epoch; 0: it doesn't."""
        try:
            return float(self._get(PAUSE, group)["until"]["N"])
        except NotThere:
            return 0.0

    def pause(self, group: str, until: float) -> None:
        values = {"until": until, "expires_at": math.ceil(until)}
        item = _key(PAUSE, group) | _attributes(values)
        self.table.put_item(TableName=self.name, Item=item)

    def _mark(self, batch: Batch, unit: Unit) -> dict[str, Any]:
        item = _key(batch.id, unit.name) | _attributes({"expires_at": batch.expires_at})
        return {"Put": {"Item": item, "ConditionExpression": "attribute_not_exists(pk)"}}

    def _add(self, batch_id: str, adds: Mapping[str, int]) -> dict[str, Any]:
        statuses = {f":when{number}": status for number, status in enumerate(DRAWING)}
        open_ = {":false": False, **statuses}
        return {
            "Update": {
                "Key": _key(BATCH, batch_id),
                "UpdateExpression": "ADD " + ", ".join(f"#{name} :{name}" for name in adds),
                "ConditionExpression": f"closed = :false AND #status IN ({', '.join(statuses)})",
                "ExpressionAttributeNames": {
                    "#status": "status",
                    **{f"#{name}": name for name in adds},
                },
                "ExpressionAttributeValues": _attributes(
                    {**open_, **{f":{name}": value for name, value in adds.items()}}
                ),
            }
        }

    def _line(self, batch_id: str, unit: Unit) -> tuple[int, int]:
        """How many of its line's units are counted, and how many of them have failed."""
        if unit.line_images == 1:
            return 0, 0
        try:
            item = self._get(batch_id, _line_key(unit))
        except NotThere:
            return 0, 0
        return int(item["done"]["N"]), int(item["failed"]["N"])

    def _line_update(
        self, batch: Batch, unit: Unit, done: int, failed: int
    ) -> tuple[dict[str, Any]]:
        after = {"done": done + 1, "failed": failed, "expires_at": batch.expires_at}
        item = _key(batch.id, _line_key(unit)) | _attributes(after)
        same = "done = :done" if done else "attribute_not_exists(pk)"
        values = {"ExpressionAttributeValues": _attributes({":done": done})} if done else {}
        return ({"Put": {"Item": item, "ConditionExpression": same, **values}},)

    def _get(self, pk: str, sk: str) -> Mapping[str, Any]:
        if not 0 < len(sk.encode()) <= MOST_KEY_BYTES:
            raise NotThere(pk)
        found = self.table.get_item(TableName=self.name, Key=_key(pk, sk), ConsistentRead=True)
        if "Item" not in found:
            raise NotThere(f"{pk} {sk}")
        item: Mapping[str, Any] = found["Item"]
        return item

    def _again(self, write: Callable[[], T]) -> T:
        for _ in range(TRIES - 1):
            try:
                return write()
            except ClientError as error:
                said = {error.response["Error"]["Code"], *_reasons(error)}
                if "ConditionalCheckFailed" in said or not said & _CONFLICTS:
                    raise
            self._part()
        return write()

    def _part(self) -> None:
        """From another's write of the same item, such as a count of the same batch."""
        self.sleep(random.uniform(0.02, 0.2))

    def _transact(self, *operations: Mapping[str, Mapping[str, Any]]) -> None:
        named = [
            {kind: {"TableName": self.name, **operation} for kind, operation in each.items()}
            for each in operations
        ]
        self.table.transact_write_items(TransactItems=named)


def _item(record: Batch | File) -> dict[str, Any]:
    return _key(_KINDS[type(record)], record.id) | to_item(record)


def _key(pk: str, sk: str) -> dict[str, Any]:
    return _attributes({"pk": pk, "sk": sk})


def _attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: to_attribute(value) for name, value in values.items()}


def _line_key(unit: Unit) -> str:
    return f"line-{unit.line:06d}"


def _reasons(error: ClientError) -> list[str]:
    """One an operation of a transaction that was cancelled; none of any other error."""
    return [reason.get("Code", "") for reason in error.response.get("CancellationReasons", ())]
