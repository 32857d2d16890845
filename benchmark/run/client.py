"""The public API, seen by a caller: which variants there are, and one picture from one of them."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from benchmark.errors import BenchmarkError, RequestFailed, RequestTimedOut
from benchmark.prompts import Prompt
from benchmark.run.records import RunInfo, ServedVariant
from stacks.catalogue.prices import Prices


@dataclass(frozen=True)
class ListedVariant:
    """A variant from `GET /models`, with the defaults a run's settings start from."""

    served: ServedVariant
    sizes: tuple[str, ...]
    default_steps: int
    default_guidance_scale: float


@dataclass(frozen=True)
class Answer:
    """`picture` is PNG; None where the answer gave `picture_url` instead."""

    seed: int
    stages_ms: dict[str, float]
    request_id: str | None
    picture: bytes | None
    picture_url: str | None


@dataclass(frozen=True)
class ApiClient:
    """Every failure of `generate` is a RequestFailed; there are no retries, so none is hidden.

    `url` ends in /v1. `timeout_s` bounds the whole request: httpx bounds each read and write
    instead, which an endpoint that trickles would outlast.
    """

    http: httpx.AsyncClient
    url: str
    key: str
    timeout_s: float
    response_format: str = "b64_json"

    async def models(self, prices: Prices) -> dict[str, ListedVariant]:
        """Raises BenchmarkError with what to check if the API can't be reached or refuses."""
        try:
            response = await self.http.get(f"{self.url}/models", headers={"x-api-key": self.key})
            response.raise_for_status()
            found = [listed_variant(entry, prices) for entry in response.json()["data"]]
        except httpx.HTTPStatusError as error:
            hint = " Is the key right?" if error.response.status_code in (401, 403) else ""
            raise BenchmarkError(
                f"GET {self.url}/models gave {error.response.status_code}.{hint}"
            ) from error
        except httpx.HTTPError as error:
            raise BenchmarkError(f"no API at {self.url}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise BenchmarkError(
                f"GET {self.url}/models gave something else than variants: {error!r}"
            ) from error
        return {variant.served.name: variant for variant in found}

    async def generate(self, model: str, prompt: Prompt, info: RunInfo) -> Answer:
        """One picture of `prompt`, with the run's steps, size and guidance."""
        body = {
            "model": model,
            "prompt": prompt.text,
            "n": 1,
            "size": info.size,
            "seed": prompt.seed,
            "num_inference_steps": info.steps,
            "guidance_scale": info.guidance_scale,
            "response_format": self.response_format,
        }
        try:
            async with asyncio.timeout(self.timeout_s):
                response = await self.http.post(
                    f"{self.url}/images/generations", json=body, headers={"x-api-key": self.key}
                )
        except (TimeoutError, httpx.TimeoutException) as error:
            raise RequestTimedOut(self.timeout_s) from error
        except httpx.HTTPError as error:
            raise RequestFailed("connection", f"{type(error).__name__}: {error}") from error
        status = response.status_code
        if status != 200:
            raise RequestFailed(f"http_{status}", response.text[:500], status)
        answer = _answer(response)
        if answer.seed != prompt.seed:
            raise RequestFailed("bad_answer", f"seed {answer.seed}, asked for {prompt.seed}", 200)
        return answer

    async def fetch(self, url: str) -> bytes:
        """The picture behind a presigned URL, outside of any latency figure."""
        try:
            response = await self.http.get(url, timeout=self.timeout_s)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise RequestFailed("picture_download", str(error)) from error
        return response.content


def _answer(response: httpx.Response) -> Answer:
    try:
        document = response.json()
        item = document["data"][0]
        encoded = item.get("b64_json")
        timings = document.get("timings_ms") or {}
        return Answer(
            seed=int(item["seed"]),
            stages_ms={k: float(v) for k, v in timings.items() if isinstance(v, int | float)},
            request_id=response.headers.get("x-request-id"),
            picture=base64.b64decode(encoded, validate=True) if encoded else None,
            picture_url=None if encoded else item["url"],
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RequestFailed("bad_answer", f"{error!r} in the answer", 200) from error


AS_LISTED = (
    *("engine", "instance_type", "instance_count", "endpoint_name", "region"),
    *("model_id", "revision", "artifact_key"),
)


def listed_variant(entry: Mapping[str, Any], prices: Prices) -> ListedVariant:
    """From an entry of `GET /models`; without a price of its own, with that of the price file."""
    usd, date, source = (entry[f"price_{what}"] for what in ("usd_per_hour", "date", "source"))
    if usd is None and (known := prices.find(entry["region"], entry["instance_type"])):
        usd, date, source = known.usd_per_hour, known.date, known.source
    served = ServedVariant(
        name=entry["id"],
        usd_per_hour=None if usd is None else float(usd),
        price_date=date or "",
        price_source=source or "",
        **{name: entry[name] for name in AS_LISTED},
    )
    return ListedVariant(
        served,
        tuple(entry["sizes"]),
        int(entry["default_steps"]),
        float(entry["default_guidance_scale"]),
    )
