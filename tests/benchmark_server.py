"""A served API on a real socket, for what has to cross a process border."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.benchmark_fakes import png, registration


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, variants: list[dict[str, Any]], hold_at: int | None) -> None:
        super().__init__(("127.0.0.1", 0), ApiHandler)
        self.variants = variants
        self.hold_at = hold_at
        self.asked: list[str] = []
        self.holding = threading.Event()
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_: Any) -> None:
        """The killed client's connection breaks; that is the point."""


class ApiHandler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer({"data": self.server.variants})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body["prompt"])
        # The warm-up asks for the first prompt, so different prompts are what counts.
        prompts_asked = len(set(self.server.asked))
        if prompts_asked - 1 == self.server.hold_at and not self.server.holding.is_set():
            self.server.holding.set()
            self.server.release.wait()
        picture = base64.b64encode(png()).decode()
        self._answer({"data": [{"b64_json": picture, "seed": body["seed"]}], "timings_ms": {}})

    def _answer(self, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def serving(
    variants: list[dict[str, Any]] | None = None, hold_at: int | None = None
) -> Iterator[Server]:
    """`hold_at`: the index of the first prompt whose answer is kept back until `release`."""
    server = Server(variants or [registration("g5")], hold_at)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
