"""`python -m local_cloud serve`: MiniStack with the added services, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading

import psutil

from local_cloud import janitor
from local_cloud.ministack.application import application, prepare_environment
from local_cloud.settings import CloudSettings

SHUTDOWN_S = 1.0


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

    from local_cloud.assembly import assemble

    stop_services = assemble(settings)
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
                stop_services()
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
        await hypercorn_serve(application(), config, shutdown_trigger=ended.wait)

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
