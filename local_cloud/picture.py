"""One picture through the public API, as a client of it would have one made."""

from __future__ import annotations

import base64
import json
import shlex
import struct
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from local_cloud.deployment import DeployedApi

PROMPT = "a red circle on a white background"
TIMEOUT_S = 120.0
# A machine that is busy with other things may take longer for its first picture than the
# gateway's 29 seconds.
TRIES = 3


class PictureFailed(Exception):
    """The API's error, or what is wrong with the picture. `status` is 0 where there was none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Picture:
    png: bytes
    width: int
    height: int
    seed: int
    answer: dict[str, Any]


def call(api: DeployedApi, path: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
    """POST `request` (or GET) below `api.url`. PictureFailed with status and body."""
    url = f"{api.url}{path}"
    body = None if request is None else json.dumps(request).encode()
    headers = {"x-api-key": api.key, "content-type": "application/json"}
    message = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(message, timeout=TIMEOUT_S) as reply:
            answer: dict[str, Any] = json.loads(reply.read())
            return answer
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        raise PictureFailed(f"{path}: HTTP {error.code}: {text}", error.code) from error
    except (OSError, ValueError) as error:
        raise PictureFailed(f"{path}: {error}") from error


def make_picture(api: DeployedApi, **fields: Any) -> Picture:
    """One image by URL, fetched. `fields` are the request's, on top of a prompt and a seed."""
    answer = _generate(api, {"prompt": PROMPT, "seed": 1, **fields})
    item = answer["data"][0]
    try:
        with urllib.request.urlopen(item["url"], timeout=30) as reply:
            png = reply.read()
    except OSError as error:
        raise PictureFailed(f"the picture's URL can't be fetched: {error}") from error
    width, height = png_size(png)
    return Picture(png, width, height, int(item["seed"]), answer)


def make_picture_patiently(runtime: Any, endpoint: str) -> Picture:
    """One image from the endpoint itself: a model of real size on a CPU takes minutes, which the
    gateway's 29 seconds don't allow. `runtime` is a boto3 sagemaker-runtime client that waits."""
    started = time.monotonic()
    reply = runtime.invoke_endpoint(
        EndpointName=endpoint,
        Body=json.dumps({"prompt": PROMPT, "seed": 1}),
        ContentType="application/json",
    )
    answer = json.loads(reply["Body"].read())
    answer["seconds"] = time.monotonic() - started
    png = base64.b64decode(answer["images"][0])
    width, height = png_size(png)
    return Picture(png, width, height, 1, answer)


def _generate(api: DeployedApi, request: dict[str, Any]) -> dict[str, Any]:
    """What the API answers to a client that tries again where it is told to."""
    for _ in range(TRIES - 1):
        try:
            return call(api, "/images/generations", request)
        except PictureFailed as error:
            if error.status not in (503, 504):
                raise
    return call(api, "/images/generations", request)


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels; PictureFailed for what isn't a whole PNG."""
    if png[:8] != b"\x89PNG\r\n\x1a\n" or png[12:16] != b"IHDR" or png[-8:-4] != b"IEND":
        raise PictureFailed(f"what came is not a PNG: it starts with {png[:16]!r}")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def curl_line(api: DeployedApi) -> str:
    """The same request as a line to paste."""
    body = json.dumps({"prompt": PROMPT, "seed": 1})
    return (
        f"curl -s {api.url}/images/generations -H 'x-api-key: {api.key}' "
        f"-H 'content-type: application/json' -d {shlex.quote(body)}"
    )
