"""A Lambda function in a process: Lambda's runtime interface client (awslambdaric) asks the runtime
API here for events, as it does on AWS.

Source: docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from typing import Any

import psutil

from benchmark.errors import BenchmarkError

_INVOCATION = "/2018-06-01/runtime/invocation/"
_LONGEST_S = 60.0


@dataclass(frozen=True)
class Returned:
    """`seconds` from the event's handing out to the answer's arrival; `line` is the log's last."""

    answer: Mapping[str, Any]
    seconds: float
    line: Mapping[str, Any]


class _RuntimeApi(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _RuntimeApiHandler)
        self.asked: Queue[float | bytes] = Queue()
        """When the function asked for an event, or why it can't."""
        self.events: Queue[bytes] = Queue()
        self.answers: Queue[tuple[str, bytes, float, float]] = Queue()
        """What came back: path and body, when its event went out, and when it came."""
        self.handed_out = 0.0

    def handle_error(self, *args: Any) -> None:
        """The function ends with its connection open."""


class _RuntimeApiHandler(BaseHTTPRequestHandler):
    server: _RuntimeApi
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.server.asked.put(time.perf_counter())
        event = self.server.events.get()
        self.server.handed_out = time.perf_counter()
        self._answer(
            200,
            event,
            {
                "Content-Type": "application/json",  # without it the client ends in a SIGSEGV
                "Lambda-Runtime-Aws-Request-Id": "invocation",
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + 30) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:0:function:f",
            },
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/init/error"):
            self.server.asked.put(body)
        else:
            arrived = time.perf_counter()
            self.server.answers.put((self.path, body, self.server.handed_out, arrived))
        self._answer(202, b"{}", {})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


class LambdaProcess:
    """`start_s` from the process's start until it asks for its first event: interpreter, client
    and the function's imports."""

    def __init__(self, api: _RuntimeApi, process: subprocess.Popen[str], started: float) -> None:
        self._api, self._process = api, process
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._read).start()
        ready = self._wait(api.asked)
        if isinstance(ready, bytes):
            raise _failed(ready)
        self.start_s = ready - started

    def cpu_s(self) -> float:
        """What the process has computed so far."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def invoke(self, event: Mapping[str, Any], *, logs: bool = True) -> Returned:
        """`logs`: whether the function writes a line."""
        self._api.events.put(json.dumps(event).encode())
        path, body, began, ended = self._wait(self._api.answers)
        if not path.endswith("/response"):
            raise _failed(body)
        line = json.loads(self._wait(self._lines)) if logs else {}
        return Returned(json.loads(body), ended - began, line)

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                if line.startswith("{"):
                    self._lines.put(line)

    def _wait(self, queue: Queue[Any]) -> Any:
        try:
            return queue.get(timeout=_LONGEST_S)
        except Empty:
            raise BenchmarkError(f"the function said nothing for {_LONGEST_S:g} s") from None


def _failed(body: bytes) -> BenchmarkError:
    return BenchmarkError(f"the function failed: {body.decode(errors='replace')}")


@contextmanager
def lambda_process(handler: str, environment: Mapping[str, str]) -> Iterator[LambdaProcess]:
    """`environment` is all it gets, besides where the runtime API is."""
    with _RuntimeApi() as api:
        threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01}).start()
        address = f"127.0.0.1:{api.server_address[1]}"
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", handler],
            env={**environment, "AWS_LAMBDA_RUNTIME_API": address},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield LambdaProcess(api, process, started)
        finally:
            process.kill()
            process.wait()
            api.events.put(b"{}")
            api.shutdown()
