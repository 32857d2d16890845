"""Calls to the emulated services over HTTP, signed by a role, as AWS's own services make them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import botocore.session
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local_cloud.ministack.identity import RoleSession
from local_cloud.settings import CloudSettings

# A session loads each service's model once; client creation on it is not thread-safe.
_session = botocore.session.Session()
_session_lock = threading.Lock()

TransferErrors = (BotoCoreError, ClientError, OSError)


def client(settings: CloudSettings, service: str, role: RoleSession) -> BaseClient:
    """A client of `service` on this cloud under `role`."""
    with _session_lock:
        return _session.create_client(
            service,
            region_name=settings.region,
            endpoint_url=settings.url,
            config=Config(retries={"max_attempts": 1}, read_timeout=300),
            **role.client_arguments(),
        )


def download_prefix(s3: Any, uri: str, folder: Path, share: tuple[int, int] = (0, 1)) -> int:
    """Copy the objects under an s3:// prefix to `folder`; how many there are. TransferErrors.

    `share` (i, n) copies every n-th of them, beginning with the i-th.
    """
    bucket, prefix = split_s3_uri(uri)
    number, of = share
    count = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            relative = item["Key"][len(prefix) :].lstrip("/")
            if not relative or relative.endswith("/"):
                continue
            if count % of == number:
                target = folder / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                download_object(s3, bucket, item["Key"], target)
            count += 1
    return count


def download_object(s3: Any, bucket: str, key: str, target: Path) -> None:
    body = s3.get_object(Bucket=bucket, Key=key)["Body"]
    with target.open("wb") as file:
        for chunk in body.iter_chunks(1 << 20):
            file.write(chunk)


def upload_files(s3: Any, folder: Path, paths: list[Path], uri: str) -> None:
    """Copy files to an s3:// prefix, by their paths below `folder`. TransferErrors."""
    bucket, prefix = split_s3_uri(uri)
    for path in paths:
        key = f"{prefix.rstrip('/')}/{path.relative_to(folder).as_posix()}"
        with path.open("rb") as body:
            s3.put_object(Bucket=bucket, Key=key, Body=body)


def split_s3_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an s3:// URI."""
    parsed = urlparse(uri)
    return parsed.netloc, parsed.path.lstrip("/")
