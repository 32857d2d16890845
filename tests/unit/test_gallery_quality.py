"""How good the gallery's searches are, by the small model's own text encoder: the figures, the
command, and that what is near "a red heart" is a heart, or red."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import httpx
import numpy as np
import pytest
import torch

from benchmark.cli import main
from benchmark.errors import BenchmarkError
from benchmark.figures.similar import exact_nearest, ndcg, recall, shared
from benchmark.options import SimilarOptions
from benchmark.similar import similar
from model_assets.tiny.data import held_out_prompts
from model_assets.tiny.picture_check import expected
from model_assets.tiny.tokenizer import WEIGHTS
from sd_contract.embeddings import floats
from sd_serving.diffusers_parts import load_diffusers
from sd_serving.embeddings import embed
from sd_serving.parts import Parts
from tests.fakes import gallery as fakes
from tests.fakes.gallery import World
from tests.fakes.wsgi_gateway import KEY, served

OPTIONS = SimilarOptions(url="http://api/v1", key=KEY, pictures=40)


@cache
def encoder() -> Parts:
    return load_diffusers(WEIGHTS, dtype=torch.float32, device=torch.device("cpu"))


@cache
def encoded(text: str) -> list[float]:
    return floats(embed(encoder(), [text]).vectors[0])


@pytest.fixture
def world() -> Iterator[World]:
    with fakes.world(encode=encoded) as found:
        yield found


def test_what_is_near_a_red_heart_is_a_heart_or_red(world: World) -> None:
    """Among 200 pictures whose prompts the model's training has never seen, of which less than a
    third are either."""
    prompts = held_out_prompts(200)
    assert sum(shown.shape == "heart" or shown.colour == "red" for _, shown in prompts) < 67
    world.store(*(prompt for prompt, _ in prompts))
    status, found = world.get("/similar", prompt="a red heart")
    assert (status, len(found["data"])) == (200, 10)
    near = [expected(each["prompt"]) for each in found["data"]]
    assert sum(each.shape == "heart" or each.colour == "red" for each in near) >= 9


def test_the_figures() -> None:
    assert shared(("heart", "red", "white"), ("heart", "red", "blue")) == 2
    assert ndcg([0, 1, 2], [3, 2, 1, 0]) == 1
    assert ndcg([3, 3], [3, 2, 1, 0]) == 0
    # (1 + 3 / log2 3) / (3 + 1 / log2 3)
    assert ndcg([1, 0], [3, 1]) == pytest.approx(0.7967, abs=1e-4)
    assert ndcg([], [0, 0]) == 1
    assert recall([1, 2, 9], [1, 2, 3, 4]) == 0.5
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32)
    assert exact_nearest(vectors, 0) == [1, 2]


def test_the_command_draws_what_is_missing_and_compares(world: World) -> None:
    """Far above chance, which is 0.2; and the local cloud's search is exact."""
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        world.work()

    with served(world.respond) as url, httpx.Client() as http:
        options = SimilarOptions(url=url, key=KEY, pictures=40)
        said = similar(options, http.send, sleep)
        assert len(world.items()) == 40
        # They are there now.
        assert (
            similar(options, http.send, sleep).splitlines()[4].split("|")[1:4]
            == (said.splitlines()[4].split("|")[1:4])
        )
        # A search finds all there are, so a part of them would count as badly found.
        with pytest.raises(BenchmarkError, match="more than --pictures 39"):
            similar(replace(options, pictures=39), http.send, sleep)
    assert len(waited) == 1
    figures = [float(cell) for cell in said.splitlines()[4].split("|")[1:4]]
    assert figures[0] == figures[1] > 0.6
    assert figures[2] == 1


def test_the_command_waits_where_it_is_throttled_and_says_what_else_is_wrong() -> None:
    answers = [httpx.Response(429), httpx.Response(404, text="This API has no gallery")]
    waited: list[float] = []

    def send(request: httpx.Request) -> httpx.Response:
        answer = answers.pop(0)
        answer.request = request
        return answer

    with pytest.raises(BenchmarkError, match="no gallery"):
        similar(OPTIONS, send, waited.append)
    assert waited == [1.0]


def test_a_picture_of_something_else_ends_it(world: World) -> None:
    world.store("a lighthouse at dawn")
    with (
        served(world.respond) as url,
        httpx.Client() as http,
        pytest.raises(BenchmarkError, match="not one shape in one colour: 'a lighthouse at dawn'"),
    ):
        similar(SimilarOptions(url=url, key=KEY, pictures=1), http.send)


def test_pictures_that_are_not_kept_end_it() -> None:
    def send(request: httpx.Request) -> httpx.Response:
        empty: dict[str, object] = {"data": [], "last_id": None, "has_more": False}
        drawn = {"data": [{"seed": 0}], "warnings": ["store: the pictures are not kept."]}
        body = drawn if request.method == "POST" else empty
        return httpx.Response(200, text=json.dumps(body), request=request)

    with pytest.raises(BenchmarkError, match="not kept"):
        similar(OPTIONS, send)


def test_without_an_api_it_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["similar"]) == 1
    assert "--url" in capsys.readouterr().err
