"""A local folder as an S3 prefix, and one prefix as another. Prefixes end in "/"."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

# One CopyObject, which takes up to 5 GB, up to here; in parts, side by side, above.
COPY_IN_PARTS_FROM = 512 * 2**20


def list_objects(s3: Any, bucket: str, prefix: str) -> dict[str, int]:
    """Sizes in bytes by key below the prefix."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {
        entry["Key"].removeprefix(prefix): int(entry["Size"])
        for page in pages
        for entry in page.get("Contents", [])
        if not entry["Key"].endswith("/")
    }


def download(s3: Any, bucket: str, prefix: str, folder: Path) -> None:
    for name in list_objects(s3, bucket, prefix):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, f"{prefix}{name}", str(target))


def upload(s3: Any, folder: Path, bucket: str, prefix: str, *, last: str = "") -> None:
    """The file named `last` goes when all others are there."""
    for path in sorted(_files(folder), key=lambda path: path == folder / last):
        name = path.relative_to(folder).as_posix()
        s3.upload_file(str(path), bucket, f"{prefix}{name}")


def copy(s3: Any, bucket: str, source: str, target: str, *, names: list[str]) -> None:
    """In the given order, without the content passing through here."""
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(
        multipart_threshold=COPY_IN_PARTS_FROM, multipart_chunksize=COPY_IN_PARTS_FROM
    )
    for name in names:
        s3.copy(
            {"Bucket": bucket, "Key": f"{source}{name}"}, bucket, f"{target}{name}", Config=config
        )


def delete(s3: Any, bucket: str, prefix: str) -> None:
    for name in list_objects(s3, bucket, prefix):
        s3.delete_object(Bucket=bucket, Key=f"{prefix}{name}")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
