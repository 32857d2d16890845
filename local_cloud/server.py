"""`python -m local_cloud serve`: MiniStack with the added services, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import psutil

from local_cloud import janitor
from local_cloud.settings import CloudSettings

SHUTDOWN_S = 1.0
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def prepare_environment(settings: CloudSettings) -> None:
    """MiniStack reads its settings from the environment when it is imported: set them first."""
    os.environ.update(
        {
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(settings.port),
            "MINISTACK_HOST": "localhost",
            "MINISTACK_ACCOUNT_ID": settings.account,
            "MINISTACK_REGION": settings.region,
            "MINISTACK_CODEBUILD_EXECUTE": "1",
            "LAMBDA_EXECUTOR": "local",
            "STATE_DIR": str(settings.state / "ministack"),
            "S3_DATA_DIR": str(settings.state / "s3"),
            "TMPDIR": str(settings.temporary),
            # A Docker daemon of the user's is none of our business.
            "DOCKER_HOST": f"unix://{settings.state}/no-docker.sock",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "AWS_ENDPOINT_URL": settings.url,
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
            # The key of the root user; nobody is given it.
            "AWS_ACCESS_KEY_ID": settings.account,
            "AWS_SECRET_ACCESS_KEY": "root",
        }
    )
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "SERVICES", "PERSIST_STATE", "S3_PERSIST"):
        os.environ.pop(name, None)


def over_tls(app: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Say of every request that it came over TLS, as every request to AWS does.

    The bootstrap bucket's policy denies what doesn't (aws:SecureTransport); loopback needs none.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            names = {name.lower() for name, _ in scope["headers"]}
            if b"x-forwarded-proto" not in names:
                headers = [*scope["headers"], (b"x-forwarded-proto", b"https")]
                scope = {**scope, "headers": headers}
        await app(scope, receive, send)

    return wrapped


def serve(settings: CloudSettings, *, until_eof: bool = False) -> None:
    """Boot and serve until SIGTERM or SIGINT; then end everything that was started.

    `until_eof` also ends it when standard input does: when the process that started it is gone.
    """
    settings.make_folders()
    prepare_environment(settings)
    # Held until this process is gone: its end is what the janitor waits for.
    keeper = janitor.start(settings.state)

    from hypercorn.asyncio import serve as hypercorn_serve
    from hypercorn.config import Config
    from ministack.app import app

    from local_cloud.assembly import assemble

    services = assemble(settings)
    config = Config()
    config.bind = [f"127.0.0.1:{settings.port}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    config.graceful_timeout = 0.5

    once = threading.Lock()

    def finish() -> None:
        """End everything, then this process, whatever its threads are waiting for."""
        if once.acquire(blocking=False):
            try:
                services.stop()
                end_children(except_pid=keeper.pid)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(0)

    async def run() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def end() -> None:
            ended.set()
            # A request that is still served does not hold up the end.
            threading.Timer(SHUTDOWN_S, finish).start()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        if until_eof:
            threading.Thread(
                target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(end)), daemon=True
            ).start()
        await hypercorn_serve(over_tls(app), config, shutdown_trigger=ended.wait)

    try:
        asyncio.run(run())
    finally:
        finish()


def end_children(except_pid: int) -> None:
    """End what is left: the warm Lambda processes."""
    children = [
        child for child in psutil.Process().children(recursive=True) if child.pid != except_pid
    ]
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.terminate()
    _, alive = psutil.wait_procs(children, timeout=2)
    for child in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
