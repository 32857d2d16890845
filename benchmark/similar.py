"""`benchmark similar`: what the gallery finds, by what the small model's prompts show."""

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import httpx
import numpy as np

from api_client import Api, ApiError
from benchmark.errors import BenchmarkError
from benchmark.figures.similar import (
    NEAREST,
    Floats,
    Searched,
    exact_nearest,
    shared,
    similar_table,
)
from benchmark.options import SimilarOptions
from benchmark.run.command import target

PAGE = 100
TEXTS = 64
"""As many as a request may have (sd_contract.embeddings, INPUTS)."""
# The API's plan lets some requests through a second.
PAUSE_S = 1.0


def similar(
    options: SimilarOptions,
    send: Callable[[httpx.Request], httpx.Response] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    timer: Callable[[], float] = time.perf_counter,
) -> str:
    """Raises BenchmarkError."""
    api, _ = target(options.url, options.key, options.local)
    with httpx.Client(timeout=options.timeout) as http:
        gallery = _Gallery(api, send or http.send, sleep, timer)
        try:
            return _measured(gallery, options)
        except ApiError as error:
            raise BenchmarkError(str(error)) from error
        except httpx.HTTPError as error:
            raise BenchmarkError(f"{api.url}: {error}") from error


def _measured(gallery: "_Gallery", options: SimilarOptions) -> str:
    from model_assets.tiny.data import held_out_prompts
    from model_assets.tiny.picture_check import expected

    pictures = gallery.pictures(options.pictures + 1)
    missing = options.pictures - len(pictures)
    if missing > 0:
        prompts = [prompt for prompt, _ in held_out_prompts(missing)]
        gallery.draw(prompts, options)
        pictures = gallery.pictures(options.pictures + 1)
    if len(pictures) > options.pictures:
        # Those left out would be found as well, in place of those that are counted.
        raise BenchmarkError(f"the gallery has more than --pictures {options.pictures}")
    try:
        shown = [astuple(expected(each["prompt"])) for each in pictures]
    except ValueError as error:
        said = "a picture of the gallery doesn't say what is like it"
        raise BenchmarkError(f"{said}: {error}") from error
    number_of = {each["id"]: number for number, each in enumerate(pictures)}
    vectors = gallery.vectors([each["prompt"] for each in pictures], options.model)
    searches, seconds = [], []
    for number, picture in enumerate(pictures):
        began = gallery.timer()
        found = gallery.similar(picture["id"])
        seconds.append(gallery.timer() - began)
        gains = [float(shared(shown[number], other)) for other in shown]
        gains[number] = 0.0
        searches.append(
            Searched(
                [number_of[id] for id in found if id in number_of],
                exact_nearest(vectors, number),
                gains,
            )
        )
    table = similar_table(searches, seconds, f"The {len(pictures)} pictures of {gallery.api.url}")
    return table.markdown()


@dataclass(frozen=True)
class _Gallery:
    """What refuses for now (429) is asked again."""

    api: Api
    send: Callable[[httpx.Request], httpx.Response]
    sleep: Callable[[float], None]
    timer: Callable[[], float]

    def pictures(self, most: int) -> list[dict[str, Any]]:
        """The newest."""
        found: list[dict[str, Any]] = []
        after, more = "", True
        while more and len(found) < most:
            limit = min(PAGE, most - len(found))
            page = self._ask(f"/pictures?limit={limit}" + (f"&after={after}" if after else ""))
            found += page["data"]
            after, more = page["last_id"], page["has_more"]
        return found

    def draw(self, prompts: Sequence[str], options: SimilarOptions) -> None:
        """Once they are kept it returns."""
        ids = []
        for number, prompt in enumerate(prompts):
            drawn = self._ask(
                "/images/generations",
                json={
                    "prompt": prompt,
                    "model": options.model,
                    "seed": number,
                    "num_inference_steps": options.steps,
                    "store": True,
                },
            )
            ids += [item.get("id") for item in drawn["data"]]
            if ids[-1] is None:
                raise BenchmarkError(f"a picture was not kept: {drawn.get('warnings')}")
        until = self.timer() + options.timeout
        while not {*ids} <= {each["id"] for each in self.pictures(len(ids))}:
            if self.timer() > until:
                raise BenchmarkError(f"not all pictures are kept after {options.timeout:g} s")
            self.sleep(PAUSE_S)

    def vectors(self, prompts: Sequence[str], model: str | None) -> Floats:
        found: list[list[float]] = []
        for start in range(0, len(prompts), TEXTS):
            asked = {"input": prompts[start : start + TEXTS], "model": model}
            answer = self._ask("/embeddings", json=asked)
            found += [each["embedding"] for each in answer["data"]]
        return np.array(found, dtype=np.float32)

    def similar(self, id: str) -> list[str]:
        answer = self._ask(f"/similar?picture={id}&limit={NEAREST}")
        return [each["id"] for each in answer["data"]]

    def _ask(self, path: str, **body: Any) -> Any:
        while True:
            response = self.send(self.api.request(path, **body))
            if response.status_code != 429:
                break
            self.sleep(PAUSE_S)
        if response.status_code != 200:
            raise ApiError(response)
        return response.json()
