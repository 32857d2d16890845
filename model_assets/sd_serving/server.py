"""SageMaker's container contract over HTTP: `python -m sd_serving.server`.

The port is bound at once, the model loads in the thread that will draw, and `/ping` says 503 until
one picture of every served size was made. A container that can't load logs `FATAL: <reason>` as its
last line and exits with 1, so that a deploy fails with the reason instead of waiting out its
timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sd_contract.embeddings import asks_embeddings
from sd_contract.environment import EXACT, Batching, ConfigError
from sd_contract.invocation import Refused
from sd_contract.limits import INVOCATION_BYTES
from sd_serving.between_steps import BetweenSteps, SteppingEngine
from sd_serving.config import ServingConfig
from sd_serving.engine import Engine
from sd_serving.errors import BodyTooLarge, EngineError, NotReady, reason
from sd_serving.handler import Call, Handler, Reply, call_id, error_reply
from sd_serving.loader import resolve_loader
from sd_serving.logs import Log, print_event, print_line
from sd_serving.turns import Turns, Waiting

GRACE_S = 25
"""For running requests after SIGTERM; SageMaker kills 30 s after it."""
KEEP_ALIVE_S = 75
"""Longer than SageMaker's router keeps a connection idle, lest it sends into a closing one."""

T = TypeVar("T")


class Service:
    """The HTTP application around a model that is still loading, ready, or broken.

    `load` makes the ready Handler, in the thread that draws. `check` is run after a request failed
    inside the engine. Where either raises, `give_up` is called once with the reason. `between` is
    run by the handler's engine between the steps of a picture. A request is read beside the picture
    that is drawn, and drawn in its turn, alone or with others as `batching` says.
    """

    def __init__(
        self,
        load: Callable[[], Handler],
        check: Callable[[], None],
        give_up: Callable[[str], None],
        log: Log,
        between: BetweenSteps[Reply],
        batching: Batching = EXACT,
    ) -> None:
        self._load = load
        self._check = check
        self._give_up = give_up
        self._log = log
        self._between = between
        self._handler: Handler | None = None
        self._broken = False
        self._turns = Turns(batching)
        self._one_at_a_time = asyncio.Lock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="generate")
        # One, so that no more than one picture to edit is taken apart at a time.
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read")
        self.app = Starlette(
            routes=[
                Route("/ping", self._ping, methods=["GET"]),
                Route("/invocations", self._invocations, methods=["POST"]),
            ],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        # By the thread that will draw, as PyTorch keeps cuDNN's plans by thread
        # (ATen/native/cudnn/Conv_v8.cpp): another's warm-up would leave them to the first caller.
        self._worker.submit(self._start)
        turns = asyncio.create_task(self._take_turns())
        yield
        turns.cancel()
        self._worker.shutdown(wait=False)
        self._reader.shutdown(wait=False)

    def _start(self) -> None:
        started = time.perf_counter()
        try:
            self._handler = self._load()
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes into the last line
            self._fail("load_failed", error)
        else:
            self._log("ready", seconds=round(time.perf_counter() - started, 3))

    async def _ping(self, _: Request) -> Response:
        if self._broken:
            return JSONResponse({"status": "broken"}, 503)
        if self._handler is None:
            return JSONResponse({"status": "loading"}, 503)
        return JSONResponse({"status": "healthy"})

    async def _invocations(self, request: Request) -> Response:
        handler = self._handler
        if handler is None or self._broken:
            return _response(error_reply(NotReady("the model is not loaded")))
        try:
            body = await _read(request)
        except BodyTooLarge as error:
            return _response(error_reply(error))
        except ClientDisconnect:
            return Response(status_code=400)
        call = Call(body, request.headers.get("accept", ""), request_id(request.headers))
        if asks_embeddings(body):
            return _response(await self._embed(handler, call))
        started = time.perf_counter()
        try:
            drawing = await self._run(self._reader, lambda: handler.read(call))
        except (Refused, EngineError) as error:
            return _response(await self._after_check(handler.refuse(call, error, started)))
        waiting = Waiting(drawing, request.is_disconnected)
        self._turns.wait(waiting)
        reply = await waiting.reply
        if reply is None:
            self._log("caller_gone", request_id=call.request_id)
            return Response(status_code=400)
        return _response(reply)

    async def _take_turns(self) -> None:
        """For as long as the server runs."""
        while True:
            if batch := await self._turns.next():
                await self._draw(batch)

    async def _draw(self, batch: list[Waiting]) -> None:
        assert self._handler, "nothing waits before it is there"
        draw, drawings = self._handler.draw, [each.drawing for each in batch]
        try:
            async with self._one_at_a_time:
                replies = await self._run(self._worker, lambda: self._checked(draw(drawings)))
        except Exception as error:  # noqa: BLE001 - those who wait get it; the next have their turn
            for each in batch:
                each.fail(error)
            return
        for each, reply in zip(batch, replies, strict=True):
            each.answer(reply)

    async def _embed(self, handler: Handler, call: Call) -> Reply:
        """Waits for a picture's step at most, or for its decoding."""
        done = self._between.add(lambda: handler.respond(call))
        self._worker.submit(self._between.run)
        return await self._after_check(await asyncio.wrap_future(done))

    async def _after_check(self, reply: Reply) -> Reply:
        if reply.status < 500:
            return reply
        async with self._one_at_a_time:
            (reply,) = await self._run(self._worker, lambda: self._checked([reply]))
        return reply

    async def _run(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work)

    def _checked(self, replies: list[Reply]) -> list[Reply]:
        if any(reply.status >= 500 for reply in replies):
            # Some failures (a CUDA assertion) leave a process that can never compute again.
            try:
                self._check()
            except Exception as error:  # noqa: BLE001 - as above
                self._broken = True
                self._fail("broken", error)
        return replies

    def _fail(self, event: str, error: Exception) -> None:
        self._log(event, traceback="".join(traceback.format_exception(error)))
        self._give_up(reason(error))


def request_id(headers: Mapping[str, str]) -> str:
    """The caller's id, if it sent a plain one: SageMaker's inference id, or `request_id=…` among
    the custom attributes. Otherwise a new one."""
    attributes = headers.get("x-amzn-sagemaker-custom-attributes", "")
    named = [
        value.strip()
        for name, _, value in (part.partition("=") for part in re.split("[,;]", attributes))
        if name.strip() == "request_id"
    ]
    return call_id(headers.get("x-amzn-sagemaker-inference-id", ""), *named)


async def _read(request: Request) -> bytes:
    """Raises BodyTooLarge, after the rest was read and dropped: a caller that is cut off while
    sending never sees the answer."""
    body = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= INVOCATION_BYTES:
            body += chunk
    if size > INVOCATION_BYTES:
        raise BodyTooLarge(f"the body has {size} bytes, at most {INVOCATION_BYTES} are allowed")
    return bytes(body)


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, dict(reply.headers), reply.content_type)


def listen(host: str, port: int) -> socket.socket:
    """Raises OSError."""
    listener = socket.create_server((host, port), backlog=128)
    # Connections inherit it. asyncio sets it only where a socket's proto isn't this one's 0.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def main(env: Mapping[str, str], log: Log = print_event) -> int:
    """Serves until SIGTERM. Returns the exit status."""
    fatal: list[str] = []
    engines: list[Engine] = []
    between = BetweenSteps[Reply]()
    try:
        config = ServingConfig.from_env(env)
        listener = listen(config.host, config.port)
    except ConfigError as error:
        return _fatal(str(error))
    except OSError as error:
        return _fatal(f"port {config.port} can't be bound: {error.strerror}")

    def load() -> Handler:
        parts = resolve_loader(config.loader)(config.model_dir, config)
        engine = SteppingEngine(parts, config, between.run)
        engine.warm_up()
        engines.append(engine)
        return Handler(engine, config, log)

    def give_up(reason: str) -> None:
        fatal.append(reason)
        server.should_exit = True

    service = Service(load, lambda: engines[0].warm_up(), give_up, log, between, config.batching)
    server = uvicorn.Server(
        uvicorn.Config(
            service.app,
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
    )
    # uvicorn drains, then raises the signal again for us.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _leave(0))
    log("listening", host=config.host, port=listener.getsockname()[1], variant=config.variant)
    server.run(sockets=[listener])
    return _fatal(fatal[0]) if fatal else 0


def _fatal(reason: str) -> int:
    print_line(f"FATAL: {reason}")
    return 1


def _leave(status: int) -> None:
    # Not sys.exit: it would wait for, or crash in, threads that are still inside PyTorch.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _leave(main(os.environ))
