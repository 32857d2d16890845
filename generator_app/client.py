"""The public API, as far as the pages use it: requests as JSON, answers as types."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT_S = 35.0
"""The API's gateway gives up after 29 s, and says so."""


STANDARD = "standard"
"""The mode that draws where a request has no `quality`; every variant has it."""


class ApiError(Exception):
    """The API has refused, or can't be reached: then `status` is None."""

    def __init__(self, message: str, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Mode:
    """What a request's `quality` names. `seconds_per_step`: of an image of the variant's first
    size, with guidance as far as the mode has it."""

    steps: int
    seconds_per_step: float


@dataclass(frozen=True)
class Variant:
    """A model as `GET /models` lists it. `usd_per_hour` is of one instance, None where no price is
    known."""

    id: str
    model_id: str
    engine: str
    instance_type: str
    usd_per_hour: float | None
    sizes: tuple[str, ...]
    max_images: int
    max_steps: int
    default_guidance_scale: float
    modes: Mapping[str, Mode]
    """By `quality`, STANDARD first. It alone of a stack older than modes."""
    default: bool
    serve: tuple[str, ...]
    """Of real-time, async and bulk."""
    stopped: str | None
    """Why it is out of service, None where it isn't."""
    license: str
    license_url: str

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Variant:
        stopped = entry.get("stopped")
        modes = {
            name: Mode(mode["steps"], mode["seconds_per_step"])
            for name, mode in (entry.get("modes") or {}).items()
        }
        standard = Mode(entry["default_steps"], entry["seconds_per_step"])
        return cls(
            entry["id"],
            entry["model_id"],
            entry["engine"],
            entry["instance_type"],
            entry["price_usd_per_hour"],
            tuple(entry["sizes"]),
            entry["max_images"],
            entry["max_steps"],
            entry["default_guidance_scale"],
            {STANDARD: standard} | modes,
            entry["default"],
            tuple(entry.get("serve", ("real-time",))),
            f"{stopped['why']}; {stopped['start']}" if stopped else None,
            entry["license"],
            entry["license_url"],
        )


@dataclass(frozen=True)
class Drawn:
    """An answer's pictures, in the order of their seeds. `seconds`: of the model's instance."""

    model: str
    size: str
    pictures: tuple[DrawnPicture, ...]
    seconds: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class DrawnPicture:
    """`id`: in the gallery, None where it isn't kept. `content`: the file."""

    seed: int
    content: bytes
    id: str | None


@dataclass(frozen=True)
class Kept:
    """A picture of the gallery. `distance`: of what was asked for, None in a plain list."""

    id: str
    url: str
    model: str
    prompt: str
    fields: Mapping[str, Any]
    """Those of a request that draws it again; of an edit all but its picture."""
    distance: float | None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Kept:
        names = ("model", "prompt", "negative_prompt", "size", "seed", "quality")
        drawn_by = ("num_inference_steps", "guidance_scale", "strength")
        fields = {name: entry.get(name) for name in (*names, *drawn_by)}
        return cls(
            entry["id"],
            entry["url"],
            entry["model"],
            entry["prompt"],
            {name: value for name, value in fields.items() if value not in (None, "")},
            entry.get("distance"),
        )


@dataclass(frozen=True)
class BatchState:
    """`drawn`: pictures, so far. `mistakes`: why it failed."""

    id: str
    status: str
    drawn: int
    cost_usd: float | None
    output_file_id: str | None
    mistakes: tuple[str, ...]

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "failed", "expired", "cancelled")

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> BatchState:
        errors = entry["errors"] or {"data": []}
        return cls(
            entry["id"],
            entry["status"],
            entry["usage"]["pictures"],
            entry["usage"]["cost_usd"],
            entry["output_file_id"],
            tuple(each["message"] for each in errors["data"]),
        )


class Client:
    """`url` ends in /v1. Every method raises ApiError."""

    def __init__(self, url: str, key: str, http: httpx.Client | None = None) -> None:
        self.url = url.rstrip("/")
        self._http = http or httpx.Client(timeout=TIMEOUT_S, follow_redirects=True)
        self._headers = {"x-api-key": key}

    def models(self) -> list[Variant]:
        """The default one first."""
        found = [Variant.of(each) for each in self._json("GET", "/models")["data"]]
        return sorted(found, key=lambda variant: (not variant.default, variant.id))

    def draw(self, fields: Mapping[str, Any]) -> Drawn:
        """A generation; with an `image` an edit."""
        answer = self._json("POST", f"/images/{kind(fields)}", dict(fields))
        pictures = (
            DrawnPicture(each["seed"], self._fetched(each["url"]), each.get("id"))
            for each in answer["data"]
        )
        return Drawn(
            answer["model"],
            answer["size"],
            tuple(pictures),
            answer["usage"]["seconds"],
            tuple(answer.get("warnings", ())),
        )

    def tokens(self, prompt: str, model: str) -> int:
        """As the model's text encoder counts them."""
        answer = self._json("POST", "/embeddings", {"model": model, "input": prompt})
        return int(answer["usage"]["prompt_tokens"])

    def similar(self, *, limit: int = 6, **asked: str) -> list[Kept]:
        """Nearest first, by `prompt` or `picture`, of a `model` or `size` if given."""
        params = {**{name: value for name, value in asked.items() if value}, "limit": limit}
        return [Kept.of(each) for each in self._json("GET", "/similar", params=params)["data"]]

    def pictures(self, limit: int, after: str | None = None) -> tuple[list[Kept], bool]:
        """Newest first, and whether there are more."""
        params = {"limit": limit, **({"after": after} if after else {})}
        answer = self._json("GET", "/pictures", params=params)
        return [Kept.of(each) for each in answer["data"]], answer["has_more"]

    def delete(self, picture: str) -> None:
        self._json("DELETE", f"/pictures/{picture}")

    def start_batch(self, fields: Mapping[str, Any]) -> BatchState:
        """One line, whose `n` may be larger than a request's."""
        url = f"/v1/images/{kind(fields)}"
        line = {"custom_id": "1", "method": "POST", "url": url, "body": dict(fields)}
        return BatchState.of(self._json("POST", "/batches", {"endpoint": url, "requests": [line]}))

    def batch(self, batch: str) -> BatchState:
        return BatchState.of(self._json("GET", f"/batches/{batch}"))

    def cancel(self, batch: str) -> BatchState:
        return BatchState.of(self._json("POST", f"/batches/{batch}/cancel", {}))

    def batch_pictures(self, file: str) -> list[DrawnPicture]:
        """Of an ended batch's output file."""
        lines = self._send("GET", f"/files/{file}/content").text.splitlines()
        answers = [(json.loads(line)["response"] or {}).get("body", {}) for line in lines]
        return [
            DrawnPicture(each["seed"], self._fetched(each["url"]), each.get("id"))
            for answer in answers
            for each in answer.get("data", ())
        ]

    def _fetched(self, url: str) -> bytes:
        """A presigned URL brings its own right: the key isn't for whoever answers there."""
        return self._checked(lambda: self._http.get(url)).content

    def _json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        response = self._send(method, path, body, params)
        try:
            return response.json()
        except ValueError as error:
            raise ApiError(f"{path} answered something else than JSON.") from error

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        request = self._http.build_request(
            method, f"{self.url}{path}", json=body, params=params, headers=self._headers
        )
        return self._checked(lambda: self._http.send(request))

    def _checked(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            response = send()
        except httpx.HTTPError as error:
            raise ApiError(f"The API can't be reached at {self.url}: {error}") from error
        if response.is_success:
            return response
        try:
            said = response.json()["error"]
            raise ApiError(said["message"], response.status_code, said["code"])
        except (ValueError, KeyError, TypeError):
            text = response.text[:200]
            raise ApiError(f"HTTP {response.status_code}: {text}", response.status_code) from None


def kind(fields: Mapping[str, Any]) -> str:
    """The end of the path that draws them."""
    return "edits" if "image" in fields else "generations"
