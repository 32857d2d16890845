"""An account as preflight asks it, and a hub, with what they answer."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO
from urllib.error import HTTPError, URLError

import boto3
from botocore.exceptions import NoCredentialsError

from local_cloud.child import ChildCloud

SHA = "4e63672c03103b6c636b8fb4119ba982469b2955"
SOUND_MODEL = {
    "sha": SHA,
    "gated": False,
    "disabled": False,
    "private": False,
    "cardData": {"license": "openrail++"},
    "tags": ["diffusers", "license:openrail++"],
    "siblings": [{"rfilename": "model_index.json", "size": 537, "blobId": "0" * 40}],
}


class WithoutCredentials:
    """Every client of whoever has none."""

    def get_caller_identity(self) -> Any:
        raise NoCredentialsError


def clients_with(cloud: ChildCloud, key: str, secret: str) -> Callable[[str], Any]:
    """Clients that sign with these."""
    return lambda service: boto3.client(
        service,
        endpoint_url=cloud.settings.url,
        region_name=cloud.settings.region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


def hub(answer: Mapping[str, Any] = SOUND_MODEL, status: int = 200) -> Callable[[str], BinaryIO]:
    """Answers every URL so; with status 0 it can't be reached."""

    def opened(url: str) -> BinaryIO:
        body = io.BytesIO(json.dumps(answer).encode())
        if status == 0:
            raise URLError("no route to host")
        if status != 200:
            raise HTTPError(url, status, "refused", {}, body)  # type: ignore[arg-type]
        return body

    return opened
