"""What stands in a load balancer's place."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from local_cloud.ecs_express.front import Front, make_certificate


class Hello(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def task() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    make_certificate(tmp_path / "own.pem")
    return tmp_path / "own.pem"


@pytest.fixture
def front(certificate: Path) -> Iterator[Front]:
    made = Front(certificate)
    yield made
    made.stop()


@pytest.fixture
def browser(certificate: Path) -> Iterator[httpx.Client]:
    trusting = ssl.create_default_context(cafile=certificate)
    with httpx.Client(verify=trusting, trust_env=False) as client:
        yield client


def test_it_passes_on_what_it_is_sent(front: Front, browser: httpx.Client, task: int) -> None:
    front.target = task
    body = bytes(range(256)) * 4096
    answer = browser.post(f"https://localhost:{front.port}/", content=body)
    assert answer.content == body


def test_without_a_task_it_says_503(front: Front, browser: httpx.Client) -> None:
    assert browser.get(f"https://localhost:{front.port}/").status_code == 503


def test_nobody_trusts_it_unasked(front: Front) -> None:
    with (
        httpx.Client(trust_env=False) as stranger,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        stranger.get(f"https://localhost:{front.port}/")


def test_once_stopped_it_listens_no_more(front: Front, browser: httpx.Client, task: int) -> None:
    front.target = task
    assert browser.post(f"https://localhost:{front.port}/", content=b"x").status_code == 200
    front.stop()
    front.stop()
    with pytest.raises(httpx.HTTPError):
        browser.post(f"https://localhost:{front.port}/", content=b"x")
