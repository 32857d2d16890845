"""The batches' bucket."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

# Without the right to list, S3 says Forbidden of an object that isn't there (API reference,
# HeadObject, which has no body to tell more).
_GONE = ("404", "403", "NoSuchKey", "AccessDenied")
_CHUNK = 1024**2
JSONL = "application/jsonl"


class ObjectNotThere(KeyError):
    """The bucket has no such object, or not any more."""


@dataclass(frozen=True)
class Objects:
    """`s3` is botocore's client, whose other errors pass through."""

    s3: Any
    name: str
    url_ttl_s: int

    def put(self, key: str, content: bytes, media_type: str) -> None:
        self.s3.put_object(**self._place(key), Body=content, ContentType=media_type)

    def read(self, key: str) -> bytes:
        """Raises ObjectNotThere."""
        content: bytes = self._get(key).read()
        return content

    def lines(self, key: str, most_bytes: int) -> Iterator[bytes]:
        """Without their ends. Of a longer line nothing but its beginning comes, as no line may be
        longer than `most_bytes`. Raises ObjectNotThere."""
        rest = b""
        for chunk in self._get(key).iter_chunks(_CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
            if len(rest) > most_bytes:
                break
        if rest:
            yield rest

    def size(self, key: str) -> int | None:
        """In bytes; None: there is no such object."""
        try:
            return int(self.s3.head_object(**self._place(key))["ContentLength"])
        except ClientError as error:
            if error.response["Error"]["Code"] not in _GONE:
                raise
            return None

    def keys(self, folder: str) -> set[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=folder)
        return {entry["Key"] for page in pages for entry in page.get("Contents", ())}

    def delete(self, key: str) -> None:
        self.s3.delete_object(**self._place(key))

    def download_url(self, key: str) -> str:
        return str(
            self.s3.generate_presigned_url(
                "get_object", Params=self._place(key), ExpiresIn=self.url_ttl_s
            )
        )

    def upload_url(self, key: str, size: int) -> str:
        """For a PUT of exactly `size` bytes: their number is signed along."""
        place = {**self._place(key), "ContentLength": size}
        return str(
            self.s3.generate_presigned_url("put_object", Params=place, ExpiresIn=self.url_ttl_s)
        )

    def _get(self, key: str) -> Any:
        try:
            return self.s3.get_object(**self._place(key))["Body"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in _GONE:
                raise
            raise ObjectNotThere(key) from None

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self.name, "Key": key}
