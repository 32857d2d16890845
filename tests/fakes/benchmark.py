"""A served API without a network, and an event loop whose time jumps to the next thing to do."""

import asyncio
import base64
import io
import selectors
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api_client import Api
from benchmark.cli import main
from benchmark.options import RunOptions
from benchmark.prompts import Prompt, PromptSet
from benchmark.run.client import Caller
from benchmark.run.command import in_modes
from benchmark.run.records import Results, ResultsFile, RunInfo, read_results
from benchmark.run.session import Session
from sd_contract.registration import Registration
from sd_contract.sampling import FAST
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


class FakeApi(Starlette):
    """Answers after `seconds`, half of them in the fast mode, one request at a time a variant, as
    an endpoint does.

    `misbehave` maps a prompt to a status to answer with (an int), or to seconds to take instead.
    """

    def __init__(
        self,
        *variants: str,
        seconds: float = 1.0,
        misbehave: Mapping[str, float] = MappingProxyType({}),
        draw: Callable[[str], bytes] = lambda _: png(),
    ) -> None:
        super().__init__(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/images/generations", self._generate, methods=["POST"]),
                Route("/v1/picture", lambda _: Response(png())),
            ]
        )
        self.seconds, self.misbehave, self.draw = seconds, misbehave, draw
        self.variants = [served(name) for name in variants or ("g5",)]
        self.bodies: list[dict[str, Any]] = []
        self.most_at_once = self._at_once = self._answered = 0
        self.on_answer: Callable[[int], None] = lambda _: None
        """Told how many there have been."""
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def asked(self) -> list[str]:
        """The prompts, in the order they came."""
        return [body["prompt"] for body in self.bodies]

    async def _models(self, request: Request) -> Response:
        if request.headers["x-api-key"] != "the-key":
            return JSONResponse({"message": "Forbidden"}, 403)
        return JSONResponse({"data": [{"id": v.name} | v.document() for v in self.variants]})

    async def _generate(self, request: Request) -> Response:
        assert request.headers["x-api-key"] == "the-key"
        body = await request.json()
        self.bodies.append(body)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._answer(**body)
        finally:
            self._at_once -= 1
            self._answered += 1
            self.on_answer(self._answered)

    async def _answer(
        self, model: str, prompt: str, seed: int, response_format: str, quality: str, **_: Any
    ) -> Response:
        how = self.misbehave.get(prompt)
        if isinstance(how, int):
            return JSONResponse({"error": {"message": "no"}}, how)
        if how is not None:
            await asyncio.sleep(how)
        else:
            async with self._busy[model]:
                await asyncio.sleep(self.seconds / 2 if quality == FAST else self.seconds)
        picture = {"url": f"{URL}/picture", "seed": seed}
        if response_format == "b64_json":
            picture = {"b64_json": base64.b64encode(self.draw(prompt)).decode(), "seed": seed}
        stages = {"endpoint": 900.0, "text_encoder": 20.0, "denoise": 700.0, "vae_decode": 80.0}
        stages |= {"encode": 10.0, "storage": 0.0, "total": 950.0}
        answer = {"data": [picture], "timings_ms": stages}
        return JSONResponse(answer, headers={"x-request-id": "r-1"})


@contextmanager
def serving(api: FakeApi) -> Iterator[str]:
    """On a real socket, for what has to cross a process border: its URL, ending in /v1."""
    server = uvicorn.Server(uvicorn.Config(api, log_level="critical", lifespan="off", ws="none"))
    # asyncio sets TCP_NODELAY only where the protocol is named; without it an answer takes 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()


def prompts(count: int) -> PromptSet:
    return PromptSet("real", "digest", [Prompt(i, f"prompt {i}", 100 + i) for i in range(count)])


HUNDRED = prompts(100)


def run_info(**changes: Any) -> RunInfo:
    started = "2026-11-22T20:00:00+00:00"
    info = RunInfo(URL, False, "real", "digest", 25, "512x512", 7.5, started)
    return replace(info, **changes)


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
    prompt_set: PromptSet = HUNDRED,
    *,
    info: RunInfo | None = None,
    stop_after: int | None = None,
    warm_up: int = 0,
    **options: Any,
) -> Ran:
    """Runs a session over the fake in jumping time; `options` are RunOptions'.

    With `stop_after`, it is asked to stop once that many requests have been answered.
    """
    ran = Ran(folder / "results.jsonl", [])
    asked = RunOptions(results=ran.path, warm_up=warm_up, **options)
    info, sent = info or run_info(), prompt_set.prompts

    async def go() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api)) as http:
            caller = Caller(http, Api(URL, "the-key"), asked)
            with ResultsFile(ran.path, info) as results:
                say = ran.said.append
                measured = in_modes(api.variants, asked.quality)
                session = Session(caller, results, info, asked, measured, sent, say)
                api.on_answer = lambda n: session.stop.set() if n == stop_after else None
                await session.run()

    run_jumping(go())
    return ran
