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

from api_client import Api
from benchmark.cli import main
from benchmark.prompts import Prompt, PromptSet
from benchmark.run.client import Caller
from benchmark.run.load import LoadPhase
from benchmark.run.records import Results, ResultsFile, RunInfo, read_results
from benchmark.run.session import Plan, Session
from sd_contract.registration import Registration
from tests.fakes.front_door import variant

URL = "https://abc123.execute-api.us-east-1.amazonaws.com/v1"
NO_PRICE = dict.fromkeys(("price_usd_per_hour", "price_date", "price_source"))
THREE = ("g5", "djl", "inf2")
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


def served(name: str = "g5", **changes: Any) -> Registration:
    inf2 = {"instance_type": "ml.inf2.xlarge", "price_usd_per_hour": 0.99}
    return variant(name, **(inf2 if name == "inf2" else {}) | changes)


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
        self.variants = [served(name) for name in variants or ("g5",)]
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
            listed = [{"id": each.name} | each.document() for each in self.variants]
            return httpx.Response(200, json={"data": listed})
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
            "timings_ms": stages | {"png": 10.0, "storage": 0.0, "total": 950.0},
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
                    api.variants,
                    phases,
                    prompt_set or prompts(100),
                    warm_up,
                    repetitions,
                    load_requests,
                )
                caller = Caller(http, Api(URL, "the-key"), timeout_s)
                pictures = folder / "pictures"
                session = Session(
                    caller, results, info, plan, pictures, lambda *_: Progress(), ran.said.append
                )

                class Progress:
                    def update(self, _: int) -> None:
                        if next(answered) == stop_after:
                            session.stop.set()

                    def close(self) -> None: ...

                await session.run()

    run_jumping(go())
    return ran
