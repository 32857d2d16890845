"""One picture, as a client of the public API would have it made, and what is looked at in it."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from PIL import Image

from api_client import Api, ApiError, GenerationAnswer, listed_models
from local_cloud.failed import Failed

PROMPT = "a red circle on a white background"
TIMEOUT_S = 120.0
# A machine that is busy with other things may take longer for its first picture than the
# gateway's 29 seconds.
TRIES = 3


class PictureFailed(Failed):
    """The API's error, or what is wrong with the picture."""


@dataclass(frozen=True)
class FirstPicture:
    """A whole PNG. `seconds` is how long it took."""

    png: bytes
    width: int
    height: int
    seconds: float


@contextlib.contextmanager
def _calling() -> Iterator[httpx.Client]:
    try:
        # This machine's own address needs no proxy.
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as http:
            yield http
    except (ApiError, httpx.HTTPError) as error:
        raise PictureFailed(str(error)) from error


def endpoints_by_model(api: Api) -> dict[str, str]:
    """What the API has to draw with. Raises PictureFailed."""
    with _calling() as http:
        listed = listed_models(http.send(api.models()))
    return {name: model.endpoint_name for name, model in listed.items()}


def make_picture(api: Api) -> FirstPicture:
    """Through the API, by URL. Raises PictureFailed."""
    began = time.monotonic()
    with _calling() as http:
        for _ in range(TRIES):
            response = http.send(api.generation(prompt=PROMPT, seed=1))
            if response.status_code not in (503, 504):
                break
        (made,) = GenerationAnswer.of(response).pictures
        png = http.get(str(made.url)).raise_for_status().content
    return _looked_at(png, time.monotonic() - began)


def make_picture_patiently(runtime: Any, endpoint: str) -> FirstPicture:
    """From the endpoint itself: a model of real size on a CPU takes minutes, which the gateway's 29
    seconds don't allow. `runtime` is a boto3 sagemaker-runtime client that waits."""
    began = time.monotonic()
    reply = runtime.invoke_endpoint(
        EndpointName=endpoint,
        Body=json.dumps({"prompt": PROMPT, "seed": 1}),
        ContentType="application/json",
    )
    answer = json.loads(reply["Body"].read())
    return _looked_at(base64.b64decode(answer["images"][0]), time.monotonic() - began)


def _looked_at(png: bytes, seconds: float) -> FirstPicture:
    return FirstPicture(png, *png_size(png), seconds)


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels; PictureFailed for what isn't a whole PNG."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            image.verify()
            return image.size
    except (OSError, SyntaxError) as error:  # the latter is what `verify` raises
        raise PictureFailed(f"what came is not a PNG: it starts with {png[:16]!r}") from error


def curl_line(api: Api) -> str:
    """The same request as a line to paste."""
    body = json.dumps({"prompt": PROMPT, "seed": 1})
    return (
        f"curl -s {api.url}/images/generations -H 'x-api-key: {api.key}' "
        f"-H 'content-type: application/json' -d {shlex.quote(body)}"
    )
