"""The table: a row a picture, and marks of those that were deleted."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sd_contract.gallery import Kept

PICTURE, DELETED = "picture", "deleted"
"""Partition keys."""
# As long as a message may come that would bring the picture back: SQS keeps one for 14 days, and
# as many again after a redrive.
MARK_S = 30 * 86_400


class NotThere(KeyError):
    """The table has no such picture, or not any more."""


@dataclass(frozen=True)
class Rows:
    """`table` is botocore's client of DynamoDB, whose errors pass through; `name` the table's;
    `now` in seconds since the epoch. DynamoDB deletes what has expired within days, not at once:
    until then it is no more to be seen."""

    table: Any
    name: str
    now: Callable[[], float] = time.time

    def put(self, picture: Kept) -> None:
        attributes = {
            "document": {"S": picture.to_json()},
            "expires_at": {"N": str(picture.expires_at)},
        }
        self.table.put_item(TableName=self.name, Item=_key(PICTURE, picture.id) | attributes)

    def picture(self, id: str) -> Kept:
        """Raises NotThere."""
        found = self._item(PICTURE, id)
        if found is None or self._is_over(found):
            raise NotThere(id)
        return kept(found)

    def pictures(self, ids: Collection[str]) -> dict[str, Kept]:
        """Those that are there, of at most 100, by their ids."""
        wanted = [_key(PICTURE, id) for id in ids]
        found: dict[str, Kept] = {}
        # DynamoDB may leave some out, for its throughput.
        while wanted:
            answer = self.table.batch_get_item(RequestItems={self.name: {"Keys": wanted}})
            for item in answer["Responses"][self.name]:
                if not self._is_over(item):
                    found[item["sk"]["S"]] = kept(item)
            wanted = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
        return found

    def newest(self, limit: int, after: str = "") -> tuple[list[Kept], bool]:
        """The newest first, those older than `after`; and whether there are more."""
        values = {":pk": {"S": PICTURE}, ":now": {"N": str(int(self.now()))}}
        if after:
            values[":after"] = {"S": after}
        pages = self.table.get_paginator("query").paginate(
            TableName=self.name,
            KeyConditionExpression="pk = :pk" + (" AND sk < :after" if after else ""),
            FilterExpression="expires_at > :now",
            ExpressionAttributeValues=values,
            ScanIndexForward=False,
            # What is deleted is in no list any more.
            ConsistentRead=True,
            PaginationConfig={"MaxItems": limit + 1, "PageSize": limit + 1},
        )
        found = [kept(item) for page in pages for item in page["Items"]]
        return found[:limit], len(found) > limit

    def delete(self, id: str) -> None:
        """For good: marked first, so that what is still being kept goes as well."""
        mark = {"expires_at": {"N": str(int(self.now()) + MARK_S)}}
        self.table.put_item(TableName=self.name, Item=_key(DELETED, id) | mark)
        self.remove(id)

    def remove(self, id: str) -> None:
        self.table.delete_item(TableName=self.name, Key=_key(PICTURE, id))

    def is_deleted(self, id: str) -> bool:
        return self._item(DELETED, id) is not None

    def _item(self, pk: str, sk: str) -> Mapping[str, Any] | None:
        found = self.table.get_item(TableName=self.name, Key=_key(pk, sk), ConsistentRead=True)
        item: Mapping[str, Any] | None = found.get("Item")
        return item

    def _is_over(self, item: Mapping[str, Any]) -> bool:
        return int(item["expires_at"]["N"]) <= self.now()


def kept(item: Mapping[str, Any]) -> Kept:
    return Kept.from_json(item["document"]["S"])


def removed(event: Mapping[str, Any]) -> Iterator[Kept]:
    """The pictures whose rows are gone, of an event of the table's stream (OLD_IMAGE)."""
    for record in event["Records"]:
        if record["eventName"] == "REMOVE" and "document" in record["dynamodb"]["OldImage"]:
            yield kept(record["dynamodb"]["OldImage"])


def _key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}
