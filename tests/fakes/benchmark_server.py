"""The fake API on a real socket, for what has to cross a process border."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.fakes.benchmark import FakeApi


@contextmanager
def serving(api: FakeApi) -> Iterator[str]:
    """The API's URL, ending in /v1."""

    async def answer(request: Request) -> Response:
        sent = httpx.Request(
            request.method,
            str(request.url),
            headers=request.headers.items(),
            content=await request.body(),
        )
        reply = await api(sent)
        return Response(reply.content, reply.status_code, reply.headers)

    app = Starlette(routes=[Route("/v1/{path:path}", answer, methods=["GET", "POST"])])
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
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
