"""Pictures in S3: stored once drawn, handed out as presigned URLs, read again to be edited."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from front_door.ahead import Ahead
from front_door.errors import PictureNotFound, StorageError
from sd_contract.fields import OUTPUT_FORMAT, Problem
from sd_contract.invocation import MEDIA_TYPES, Answer

KEY_PATTERN = (
    "[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9A-Za-z_-]{1,128}/[0-9]{1,10}"
    rf"\.({'|'.join(OUTPUT_FORMAT.values)})"
)
"""Of what is stored here."""
_KEY = re.compile(KEY_PATTERN)
# Without the right to list, S3 says AccessDenied of an object that isn't there (API reference,
# GetObject).
_GONE = ("NoSuchKey", "AccessDenied")


class ObjectStore(Protocol):
    """The part of boto3's S3 client that is used; it has to sign with version 4, as buckets
    under KMS and newer regions accept nothing else."""

    def put_object(self, **kwargs: Any) -> Any: ...

    def get_object(self, **kwargs: Any) -> Any: ...

    def generate_presigned_url(self, method: str, **kwargs: Any) -> str: ...


@dataclass(frozen=True)
class PictureBucket:
    s3: Ahead[ObjectStore]
    """Its client takes a tenth of a cold start."""
    name: str
    url_ttl_s: int

    def store(self, answer: Answer, *, request_id: str, now_s: float) -> list[str]:
        """Stores the pictures by their `keys`; gives URLs in their order.

        A URL works for `url_ttl_s` or until the credentials that signed it end, whichever is
        first. Raises StorageError.
        """
        keys = self.keys(answer, request_id=request_id, now_s=now_s)
        urls = []
        try:
            for key, picture in zip(keys, answer.images, strict=True):
                media_type = MEDIA_TYPES[answer.output_format]
                self.s3().put_object(**self._place(key), Body=picture, ContentType=media_type)
                urls.append(self._url(key))
        except (BotoCoreError, ClientError) as error:
            folder = keys[0].rpartition("/")[0]
            raise StorageError(f"{self.name}/{folder}: {error}") from error
        return urls

    def keys(self, answer: Answer, *, request_id: str, now_s: float) -> list[str]:
        """`<date, UTC>/<request id>/<seed>.<output format>` of each picture."""
        folder = f"{datetime.fromtimestamp(now_s, UTC):%Y-%m-%d}/{request_id}"
        return [f"{folder}/{seed}.{answer.output_format}" for seed in answer.seeds]

    def key_of(self, reference: str) -> str | None:
        """The key of a picture stored here, by itself or by its presigned URL, expired or not;
        None of anything else."""
        place = reference.partition("?")[0]
        key = "/".join(place.split("/")[-3:])
        if not _KEY.fullmatch(key):
            return None
        # A URL is ours where it is the one that we would make, but for its signature: so no other
        # host, bucket or path can be named.
        ours = place == key or place == self._url(key).partition("?")[0]
        return key if ours else None

    @property
    def url(self) -> str:
        """What stands before the key in a picture's URL."""
        key = "0000-00-00/-/0.png"
        return self._url(key).partition("?")[0].removesuffix(key)

    def load(self, key: str, field: str) -> bytes:
        """Raises PictureNotFound, of `field`, and StorageError."""
        try:
            content: bytes = self.s3().get_object(**self._place(key))["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] not in _GONE:
                raise StorageError(f"{self.name}/{key}: {error}") from error
            message = f"{field}: there is no such picture (any more); they are kept for some days"
            raise PictureNotFound(Problem(field, message, "picture_not_found")) from None
        except BotoCoreError as error:
            raise StorageError(f"{self.name}/{key}: {error}") from error
        return content

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self.name, "Key": key}

    def _url(self, key: str) -> str:
        return self.s3().generate_presigned_url(
            "get_object", Params=self._place(key), ExpiresIn=self.url_ttl_s
        )
