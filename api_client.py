"""The public API for those who call it: its requests, and its answers as types. On httpx.

Nothing in here sends anything, so that a caller chooses how: `httpx.Client` (the local cloud and
its tests) or `httpx.AsyncClient` (the benchmark), each with its own time-outs and tries:

    response = http.send(api.generation(prompt="a red circle", seed=1))
    generated = GenerationAnswer.of(response)
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

# What the API and its callers must agree on is stated once, below model_assets.
sys.path.append(str(Path(__file__).parent / "model_assets"))

from sd_contract.registration import Registration

Answer = TypeVar("Answer")


class ApiError(Exception):
    """The API has refused, or has answered something else than it should: then `kind` is
    bad_answer and `why` isn't empty. `text` is the body as it came."""

    def __init__(self, response: httpx.Response, why: str = "") -> None:
        self.status, self.text, self.why = response.status_code, response.text, why
        self.kind = "bad_answer" if why else f"http_{self.status}"
        super().__init__(f"{response.url.path}: HTTP {self.status}: {why or self.text}")


@dataclass(frozen=True)
class Api:
    """Where it answers. `url` ends in /v1."""

    url: str
    key: str = field(repr=False)

    def models(self) -> httpx.Request:
        return self.request("/models")

    def generation(self, **fields: Any) -> httpx.Request:
        return self.request("/images/generations", json=fields)

    def request(self, path: str, **body: Any) -> httpx.Request:
        """GET, or POST with httpx's `json` or `content`."""
        headers = {"x-api-key": self.key, "content-type": "application/json"}
        method = "POST" if body else "GET"
        return httpx.Request(method, f"{self.url}{path}", headers=headers, **body)


@dataclass(frozen=True)
class GeneratedPicture:
    """A PNG, or where it can be fetched."""

    seed: int
    png: bytes | None
    url: str | None


@dataclass(frozen=True)
class GenerationAnswer:
    """What `POST /images/generations` answers. `timings_ms` by stage."""

    pictures: tuple[GeneratedPicture, ...]
    timings_ms: Mapping[str, float]
    request_id: str | None

    @classmethod
    def of(cls, response: httpx.Response) -> GenerationAnswer:
        """Raises ApiError."""
        return _read(
            response,
            lambda document: cls(
                tuple(map(_picture, document["data"])),
                {stage: float(ms) for stage, ms in document["timings_ms"].items()},
                response.headers.get("x-request-id"),
            ),
        )


def listed_models(response: httpx.Response) -> dict[str, Registration]:
    """What `GET /models` answers, by id. Raises ApiError."""
    return _read(
        response,
        lambda document: {
            entry["id"]: Registration.from_document({**entry, "name": entry["id"]})
            for entry in document["data"]
        },
    )


def _read(response: httpx.Response, parse: Callable[[Any], Answer]) -> Answer:
    if response.status_code != 200:
        raise ApiError(response)
    try:
        return parse(response.json())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ApiError(response, repr(error)) from error


def _picture(item: Mapping[str, Any]) -> GeneratedPicture:
    encoded = item.get("b64_json")
    png = base64.b64decode(encoded, validate=True) if encoded else None
    return GeneratedPicture(int(item["seed"]), png, None if encoded else str(item["url"]))
