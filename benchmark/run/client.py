"""The public API, seen by a caller: which variants there are, and one picture from one of them."""

import asyncio
from dataclasses import dataclass, replace

import httpx

from api_client import Api, ApiError, GenerationAnswer, listed_models
from benchmark.errors import BenchmarkError, RequestFailed
from benchmark.options import RunOptions
from benchmark.prompts import Prompt
from benchmark.run.records import RunInfo
from sd_contract.registration import Registration
from stacks.catalogue.prices import Prices


@dataclass(frozen=True)
class Caller:
    """Every failure of `generate` is a RequestFailed; there are no retries, so none is hidden.

    `options.timeout` bounds the whole request: httpx bounds each read and write instead, which an
    endpoint that trickles would outlast.
    """

    http: httpx.AsyncClient
    api: Api
    options: RunOptions

    async def variants(self, prices: Prices) -> dict[str, Registration]:
        """By name; those without a price of their own with that of the price file.

        Raises BenchmarkError with what to check if the API can't be reached or refuses.
        """
        try:
            listed = listed_models(await self.http.send(self.api.models()))
        except ApiError as error:
            gave = f"something else than variants: {error.why}" if error.why else f"{error.status}."
            if error.status in (401, 403):
                gave += " Is the key right?"
            raise BenchmarkError(f"GET {self.api.url}/models gave {gave}") from error
        except httpx.HTTPError as error:
            raise BenchmarkError(f"no API at {self.api.url}: {error}") from error
        return {name: _priced(variant, prices) for name, variant in listed.items()}

    async def generate(
        self, model: str, quality: str, prompt: Prompt, info: RunInfo
    ) -> GenerationAnswer:
        """One picture of `prompt`, with the run's steps, size and guidance."""
        request = self.api.generation(
            model=model,
            prompt=prompt.text,
            n=1,
            size=info.size,
            seed=prompt.seed,
            quality=quality,
            num_inference_steps=info.steps_of(quality),
            guidance_scale=info.guidance_scale,
            response_format=self.options.response_format,
        )
        try:
            async with asyncio.timeout(self.options.timeout):
                response = await self.http.send(request)
            answer = GenerationAnswer.of(response)
        except (TimeoutError, httpx.TimeoutException) as error:
            said = f"no answer within {self.options.timeout:g} s"
            raise RequestFailed("timeout", said) from error
        except httpx.HTTPError as error:
            raise RequestFailed("connection", f"{type(error).__name__}: {error}") from error
        except ApiError as error:
            said = f"{error.why} in the answer" if error.why else error.text[:500]
            raise RequestFailed(error.kind, said, error.status) from error
        seeds = ", ".join(str(picture.seed) for picture in answer.pictures)
        if seeds != str(prompt.seed):
            raise RequestFailed("bad_answer", f"seed {seeds}, asked for {prompt.seed}", 200)
        return answer

    async def fetch(self, url: str) -> bytes:
        """The picture behind a presigned URL, outside of any latency figure."""
        try:
            response = await self.http.get(url, timeout=self.options.timeout)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise RequestFailed("picture_download", str(error)) from error
        return response.content


def _priced(variant: Registration, prices: Prices) -> Registration:
    price = prices.find(variant.region, variant.instance_type)
    if price is None or variant.price_usd_per_hour is not None:
        return variant
    return replace(
        variant,
        price_usd_per_hour=price.usd_per_hour,
        price_date=price.date,
        price_source=price.source,
    )
