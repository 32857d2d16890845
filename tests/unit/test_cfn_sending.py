"""How a deploy gets its answers and signals, over real HTTP."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cfn_requests.sending import put_json


class Sink(HTTPServer):
    """Keeps what is PUT; answers with the statuses in turn, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keep)
        self.statuses = [200]
        self.received: list[tuple[str | None, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/signal?signature=x%2Fy"


class _Keep(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        assert isinstance(self.server, Sink)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.headers["Content-Type"], json.loads(body)))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_what_is_not_taken_is_sent_again(sink: Sink) -> None:
    sink.statuses = [503, 500, 200]
    put_json(sink.url, {"Status": "SUCCESS"})
    # The URL's signature covers an empty content type.
    assert sink.received == [("", {"Status": "SUCCESS"})] * 3


def test_it_gives_up_after_three(sink: Sink) -> None:
    sink.statuses = [403]
    with pytest.raises(OSError, match="403"):
        put_json(sink.url, {"Status": "SUCCESS"})
    assert len(sink.received) == 3
