"""The kept pictures' files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sd_contract.gallery import Kept


@dataclass(frozen=True)
class Files:
    """`s3()` gives botocore's client, whose errors pass through; `bucket` is the gallery's,
    `source` the front door's."""

    s3: Callable[[], Any]
    bucket: str
    source: str
    url_ttl_s: int

    def copy(self, key: str, picture: Kept) -> None:
        """From where the front door has put it. Written again, it is the same."""
        source = {"Bucket": self.source, "Key": key}
        self.s3().copy_object(Bucket=self.bucket, Key=picture.key, CopySource=source)

    def url(self, picture: Kept) -> str:
        """Works for `url_ttl_s`, or until the credentials end that signed it."""
        place = {"Bucket": self.bucket, "Key": picture.key}
        url: str = self.s3().generate_presigned_url(
            "get_object", Params=place, ExpiresIn=self.url_ttl_s
        )
        return url

    def delete(self, picture: Kept) -> None:
        self.s3().delete_object(Bucket=self.bucket, Key=picture.key)
