"""How a deploy gets its answers and signals, over real HTTP."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from cfn_requests.answering import answer_request
from cfn_requests.sending import MAX_REASON, put_json


class Sink(HTTPServer):
    """Keeps what is PUT; answers with the statuses in turn, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keep)
        self.statuses = [200]
        self.received: list[tuple[str | None, dict[str, Any]]] = []
        self.sizes: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/signal?signature=x%2Fy"


class _Keep(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        assert isinstance(self.server, Sink)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.sizes.append(len(body))
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


@pytest.mark.parametrize("said", ["━", "ü", '"', "\n", "\ud800"])
def test_whatever_a_build_has_said_fits_an_answer(sink: Sink, said: str) -> None:
    def fails() -> None:
        raise RuntimeError(said * 2 * MAX_REASON)

    # As long as AWS's ids may be.
    stack = f"arn:aws:cloudformation:ap-southeast-1:{'1' * 12}:stack/{'S' * 128}/{'a' * 36}"
    ids = {"RequestId": "a" * 36, "PhysicalResourceId": "b" * 256, "LogicalResourceId": "c" * 255}
    answer_request({"StackId": stack, "ResponseURL": sink.url, **ids}, fails, put_json)
    (size,), ((_, answer),) = sink.sizes, sink.received
    assert size <= 4096
    assert answer["Status"] == "FAILED"
    assert len(answer["Reason"]) == MAX_REASON
