"""The batches' bucket, as boto3's S3 client shows it."""

import io
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

BUCKET = "batches"


class NoSuchKey(ClientError):  # type: ignore[misc]
    """As botocore makes it of S3's model."""


class _Exceptions:
    NoSuchKey = NoSuchKey


class FakeBatchBucket:
    """`on_put` is called with each key before its object is there; what it raises leaves none."""

    exceptions = _Exceptions

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.puts: list[str] = []
        """All of them, also those of a key that was there."""
        self.on_put: Callable[[str], object] = lambda _: None
        self.page = 1000

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:
        assert Bucket == BUCKET
        self.on_put(Key)
        self.puts.append(Key)
        self.objects[Key], self.types[Key] = Body, ContentType

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        assert Bucket == BUCKET
        if Key not in self.objects:
            raise NoSuchKey({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}

    def delete_object(self, *, Bucket: str, Key: str) -> None:
        assert Bucket == BUCKET
        self.objects.pop(Key, None)

    def get_paginator(self, operation: str) -> "FakeBatchBucket":
        assert operation == "list_objects_v2"
        return self

    def paginate(
        self, *, Bucket: str, Prefix: str, StartAfter: str = ""
    ) -> Iterator[dict[str, Any]]:
        assert Bucket == BUCKET
        keys = [k for k in sorted(self.objects) if k.startswith(Prefix) and k > StartAfter]
        for start in range(0, max(len(keys), 1), self.page):
            entries = [
                {"Key": k, "Size": len(self.objects[k])} for k in keys[start : start + self.page]
            ]
            yield {"Contents": entries} if entries else {}

    def below(self, prefix: str) -> list[str]:
        return [key for key in sorted(self.objects) if key.startswith(prefix)]
