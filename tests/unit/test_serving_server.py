from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from sd_contract.embeddings import embeddings_invocation, read_embeddings
from sd_contract.environment import EXACT, Batching
from sd_contract.invocation import Invocation
from sd_contract.limits import INVOCATION_BYTES
from sd_serving.between_steps import BetweenSteps, SteppingEngine
from sd_serving.engine import Engine
from sd_serving.handler import Handler, Reply
from sd_serving.loader import resolve_loader
from sd_serving.model_unusable import ModelUnusable
from sd_serving.server import Service, request_id
from tests.fakes.serving import FakeParts, LogDouble, config, failing

CONFIG = config()
BODY = {"prompt": "a red circle", "num_inference_steps": 1, "seed": 7}
PATIENCE_S = 30


class Running:
    """A service in its client, and what it reported."""

    def __init__(
        self,
        parts: FakeParts | None = None,
        load: Callable[[], Handler] | None = None,
        check: Callable[[], None] = lambda: None,
        batching: Batching = EXACT,
    ) -> None:
        self.log = LogDouble()
        self.fatal: list[str] = []
        self.gave_up = threading.Event()
        self.between = BetweenSteps[Reply]()
        self.engine = SteppingEngine(parts or FakeParts(), CONFIG, self.between.run)
        self.handler = Handler(self.engine, CONFIG, self.log)
        self.service = Service(
            load or (lambda: self.handler), check, self._give_up, self.log, self.between, batching
        )

    def _give_up(self, reason: str) -> None:
        self.fatal.append(reason)
        self.gave_up.set()

    @contextmanager
    def client(self, *, ready: bool = True) -> Iterator[TestClient]:
        with TestClient(self.service.app) as client:
            while ready and client.get("/ping").status_code != 200:
                assert not self.fatal
            yield client


def test_ping_turns_healthy_only_when_the_model_is_there() -> None:
    release = threading.Event()

    def load() -> Handler:
        assert release.wait(PATIENCE_S)
        return running.handler

    running = Running(load=load)
    with running.client(ready=False) as client:
        early = client.get("/ping")
        assert (early.status_code, early.json()) == (503, {"status": "loading"})
        refused = client.post("/invocations", json=BODY)
        assert refused.status_code == 503
        assert refused.json()["error"]["type"] == "engine_error"
        release.set()
        while client.get("/ping").status_code != 200:
            pass
        assert client.post("/invocations", json=BODY).status_code == 200
    assert [line["event"] for line in running.log.lines] == ["ready", "invocation"]


def test_the_thread_that_loads_and_warms_up_is_the_one_that_draws() -> None:
    """PyTorch keeps cuDNN's plans by thread."""
    threads: list[int] = []

    def load() -> Handler:
        running.engine.warm_up()
        return running.handler

    running = Running(FakeParts(before_denoise=lambda: threads.append(threading.get_ident())), load)
    with running.client() as client:
        warm = len(threads)
        assert client.post("/invocations", json=BODY).status_code == 200
    assert len(threads) > warm > 0
    assert len({*threads}) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModelUnusable("unet is\nmissing"), "unet is missing"),
        (KeyError("conv_in"), "KeyError: 'conv_in'"),
    ],
)
def test_a_model_that_cannot_load_ends_the_service_with_the_reason_in_one_line(
    error: Exception, reason: str
) -> None:
    def load() -> Handler:
        raise error

    running = Running(load=load)
    with running.client(ready=False) as client:
        assert running.gave_up.wait(PATIENCE_S)
        assert client.get("/ping").status_code == 503
    assert running.fatal == [reason]
    assert type(error).__name__ in str(running.log.lines[0]["traceback"])


def test_serves_json_and_raw_pictures() -> None:
    running = Running()
    with running.client() as client:
        answer = client.post("/invocations", json=BODY)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["seeds"] == [7]
        picture = client.post("/invocations", json=BODY, headers={"Accept": "image/png"})
        assert picture.headers["content-type"] == "image/png"
        assert picture.headers["x-amzn-sagemaker-custom-attributes"] == "seed=7"
        assert picture.content.startswith(b"\x89PNG")


@pytest.mark.parametrize(("size", "status"), [(INVOCATION_BYTES, 400), (INVOCATION_BYTES + 1, 413)])
def test_a_body_may_be_as_large_as_sagemaker_carries(size: int, status: int) -> None:
    with Running().client() as client:
        answer = client.post("/invocations", content=b"x" * size)
        assert answer.status_code == status
        assert answer.json()["error"]["type"] == "invalid_request"


def test_ping_answers_while_a_picture_is_made_and_pictures_are_made_one_at_a_time() -> None:
    entered, release = threading.Event(), threading.Event()
    inside: list[int] = []
    most: list[int] = []

    def slow() -> None:
        inside.append(1)
        most.append(len(inside))
        entered.set()
        assert release.wait(PATIENCE_S)
        inside.pop()

    running = Running(FakeParts(before_denoise=slow))
    with running.client() as client, ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(client.post, "/invocations", json=BODY) for _ in range(3)]
        assert entered.wait(PATIENCE_S)
        assert client.get("/ping").status_code == 200
        release.set()
        assert [answer.result(PATIENCE_S).status_code for answer in answers] == [200] * 3
    assert max(most) == 1


def test_texts_are_embedded_between_the_steps_of_a_picture_by_the_thread_that_draws_it() -> None:
    drawing, asked = threading.Event(), threading.Event()
    threads: set[int] = set()
    steps = 3

    class Parts(FakeParts):
        def encode(self, prompts: list[str]) -> torch.Tensor:
            threads.add(threading.get_ident())
            return super().encode(prompts)

    def wait() -> None:
        drawing.set()
        assert asked.wait(PATIENCE_S)

    parts = Parts(before_denoise=wait)
    running = Running(parts)
    with running.client() as client, ThreadPoolExecutor(2) as pool:
        picture = pool.submit(
            client.post, "/invocations", json={**BODY, "num_inference_steps": steps}
        )
        assert drawing.wait(PATIENCE_S)
        body = embeddings_invocation(["a red heart"])
        texts = pool.submit(client.post, "/invocations", content=body)
        while not running.between.waiting:
            pass
        asked.set()
        assert len(read_embeddings(texts.result(PATIENCE_S).content)) == 1
        assert picture.result(PATIENCE_S).status_code == 200
    assert [line["event"] for line in running.log.lines] == ["ready", "embeddings", "invocation"]
    assert len(threads) == 1


def test_texts_that_fail_are_answered_and_the_process_is_checked() -> None:
    class Parts(FakeParts):
        def encode(self, _: list[str]) -> torch.Tensor:
            raise RuntimeError("CUDA error: device-side assert triggered")

    running = Running(Parts(), check=failing(RuntimeError("broken")))
    with running.client() as client:
        answer = client.post("/invocations", content=embeddings_invocation(["x"]))
        assert (answer.status_code, answer.json()["error"]["type"]) == (500, "engine_error")
        assert client.get("/ping").json() == {"status": "broken"}
    assert running.fatal == ["RuntimeError: broken"]


def test_a_bad_request_is_refused_while_a_picture_is_drawn() -> None:
    entered, release = threading.Event(), threading.Event()

    def slow() -> None:
        entered.set()
        assert release.wait(PATIENCE_S)

    running = Running(FakeParts(before_denoise=slow))
    with running.client() as client, ThreadPoolExecutor(1) as pool:
        picture = pool.submit(client.post, "/invocations", json=BODY)
        assert entered.wait(PATIENCE_S)
        assert client.post("/invocations", json={**BODY, "seed": -1}).status_code == 400
        release.set()
        assert picture.result(PATIENCE_S).status_code == 200


A_FULL_BATCH = Batching(4, 600_000)
"""Begins when four are there, however long that takes."""


def posted_together(running: Running, *bodies: dict[str, object]) -> list[Any]:
    with running.client() as client, ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(lambda body: client.post("/invocations", json=body), bodies))


def test_requests_that_wait_are_drawn_together_and_each_as_it_is_alone() -> None:
    parts = FakeParts(max_pictures_per_pass=4)
    running = Running(parts, batching=A_FULL_BATCH)
    bodies: list[dict[str, object]] = [
        {**BODY, "seed": 1},
        {**BODY, "prompt": "a blue square"},
        {**BODY, "negative_prompt": "dark"},
        {**BODY, "seed": -1},
        {**BODY, "num_images": 5},
        {**BODY, "seed": 4},
    ]
    *answers, bad, too_many, last = posted_together(running, *bodies)
    assert (bad.status_code, too_many.status_code) == (400, 400)
    assert [len(latents) for latents, _, _ in parts.denoise_calls] == [8]
    alone = Engine(FakeParts(), CONFIG)
    for body, answer in zip([*bodies[:3], bodies[-1]], [*answers, last], strict=True):
        assert answer.json()["engine"]["images_in_batch"] == 4
        (twin,) = alone.generate([Invocation.from_json(json.dumps(body).encode(), CONFIG)])
        assert base64.b64decode(answer.json()["images"][0]) == twin.images[0]


class Overflowing(FakeParts):
    """For one prompt."""

    def encode(self, prompts: list[str]) -> torch.Tensor:
        embeds = super().encode(prompts)
        embeds[[prompt == "overflow" for prompt in prompts]] = float("nan")
        return embeds


def test_a_picture_that_is_not_finite_spoils_no_other_of_its_batch() -> None:
    checks: list[int] = []
    parts = Overflowing(max_pictures_per_pass=4)
    running = Running(parts, check=lambda: checks.append(1), batching=A_FULL_BATCH)
    bodies = [{**BODY, "prompt": prompt} for prompt in ("a", "overflow", "b", "c")]
    answers = posted_together(running, *bodies)
    assert [answer.status_code for answer in answers] == [200, 500, 200, 200]
    assert "not finite" in answers[1].json()["error"]["message"]
    assert {answers[n].json()["engine"]["images_in_batch"] for n in (0, 2, 3)} == {1}
    assert checks == [1]


def test_what_is_too_much_together_is_drawn_one_by_one() -> None:
    def full(noise: torch.Tensor) -> torch.Tensor:
        if len(noise) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return noise

    running = Running(FakeParts(max_pictures_per_pass=4, noise_of=full), batching=A_FULL_BATCH)
    answers = posted_together(running, *({**BODY, "seed": seed} for seed in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert not running.fatal


def test_a_batch_that_fails_in_our_own_hands_ends_no_later_one() -> None:
    running = Running()
    fails = failing(ZeroDivisionError("in the log"))

    def log(event: str, **_: object) -> None:
        if event == "invocation":
            fails()

    running.handler = Handler(running.engine, CONFIG, log)
    with running.client() as client:
        with pytest.raises(ZeroDivisionError):
            client.post("/invocations", json=BODY)
        assert client.post("/invocations", json=BODY).status_code == 200


def test_a_failed_request_is_answered_and_the_next_one_works() -> None:
    checks: list[int] = []
    once = failing(MemoryError())
    running = Running(FakeParts(before_denoise=once), check=lambda: checks.append(1))
    with running.client() as client:
        answer = client.post("/invocations", json=BODY)
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "engine_error"
        assert client.post("/invocations", json=BODY).status_code == 200
        assert client.get("/ping").status_code == 200
    assert checks == [1]
    assert not running.fatal


def test_a_process_that_can_no_longer_compute_turns_unhealthy_and_ends() -> None:
    broken = failing(RuntimeError("CUDA error: device-side assert triggered"), times=2)
    running = Running(FakeParts(before_denoise=broken), check=broken)
    with running.client() as client:
        assert client.post("/invocations", json=BODY).status_code == 500
        ping = client.get("/ping")
        assert (ping.status_code, ping.json()) == (503, {"status": "broken"})
        assert client.post("/invocations", json=BODY).status_code == 503
    assert running.fatal == ["RuntimeError: CUDA error: device-side assert triggered"]


def test_nothing_is_drawn_for_a_caller_that_left_while_waiting() -> None:
    entered, release, left = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        entered.set()
        assert release.wait(PATIENCE_S)

    parts = FakeParts(before_denoise=slow)
    running = Running(parts)
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/invocations",
        "root_path": "",
        "query_string": b"",
        "headers": [],
    }

    async def send(_: Any) -> None:
        pass

    async def invoke(seed: int, gone: threading.Event) -> None:
        body = json.dumps({**BODY, "seed": seed}).encode()
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            while not messages and not gone.is_set():
                await asyncio.sleep(0.01)
            return messages.pop() if messages else {"type": "http.disconnect"}

        await running.service.app(scope, receive, send)

    async def two_calls() -> None:
        app = running.service.app
        async with app.router.lifespan_context(app):
            while not running.log.lines:
                await asyncio.sleep(0.01)
            first = asyncio.create_task(invoke(1, threading.Event()))
            await asyncio.to_thread(entered.wait, PATIENCE_S)
            second = asyncio.create_task(invoke(2, left))
            for _ in range(100):  # until it waits for its turn
                await asyncio.sleep(0)
            left.set()
            release.set()
            await asyncio.gather(first, second)

    asyncio.run(two_calls())
    assert [line["event"] for line in running.log.lines] == ["ready", "invocation", "caller_gone"]
    assert running.log.lines[1]["seed"] == 1
    assert len(parts.denoise_calls) == 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-amzn-sagemaker-inference-id": "abc-1"}, "abc-1"),
        ({"x-amzn-sagemaker-custom-attributes": "request_id=abc-2"}, "abc-2"),
        ({"x-amzn-sagemaker-custom-attributes": "a=b; request_id=abc-3,c"}, "abc-3"),
    ],
)
def test_the_callers_id_is_kept(headers: dict[str, str], expected: str) -> None:
    assert request_id(headers) == expected


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "ümlaut"])
def test_an_id_that_is_not_plain_is_replaced(given: str) -> None:
    made = request_id({"x-amzn-sagemaker-inference-id": given})
    assert made != given
    assert len(made) == 32


@pytest.mark.parametrize("name", ["", "g5.inference", "g5.inference:lod", "nowhere:load"])
def test_names_a_loader_that_is_not_there(name: str) -> None:
    with pytest.raises(ModelUnusable, match=f"SD_LOADER='{name}'"):
        resolve_loader(name)
