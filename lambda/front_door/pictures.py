"""Generated pictures in S3, handed out as presigned URLs."""

from datetime import UTC, datetime
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from front_door.errors import StorageError
from sd_contract.invocation import MEDIA_TYPES, Answer


class ObjectStore(Protocol):
    """The part of boto3's S3 client that is used; it has to sign with version 4, as buckets
    under KMS and newer regions accept nothing else."""

    def put_object(self, **kwargs: Any) -> Any: ...

    def generate_presigned_url(self, method: str, **kwargs: Any) -> str: ...


def store(
    s3: ObjectStore,
    bucket: str,
    answer: Answer,
    *,
    request_id: str,
    now_s: float,
    url_ttl_s: int,
) -> list[str]:
    """Stores the pictures as `<date, UTC>/<request id>/<seed>.<output format>`; gives URLs in their
    order.

    A URL works for `url_ttl_s` or until the credentials that signed it end, whichever is first.
    Raises StorageError.
    """
    folder = f"{datetime.fromtimestamp(now_s, UTC):%Y-%m-%d}/{request_id}"
    urls = []
    try:
        for seed, picture in zip(answer.seeds, answer.images, strict=True):
            where = {"Bucket": bucket, "Key": f"{folder}/{seed}.{answer.output_format}"}
            media_type = MEDIA_TYPES[answer.output_format]
            s3.put_object(**where, Body=picture, ContentType=media_type)
            urls.append(s3.generate_presigned_url("get_object", Params=where, ExpiresIn=url_ttl_s))
    except (BotoCoreError, ClientError) as error:
        raise StorageError(f"{bucket}/{folder}: {error}") from error
    return urls
