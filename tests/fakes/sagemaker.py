"""A SageMaker, CloudWatch Logs and S3 that listen on a port and do what a test has laid down.

Clients are the real ones, so what they send is checked against AWS's own models.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import boto3
from botocore.config import Config

REGION = "us-east-1"
STOPPED = {"TrainingJobStatus": "Stopped"}


@dataclass
class FakeAws:
    states: list[dict[str, Any]] = field(default_factory=list)
    """What DescribeTrainingJob answers, one after the other; the last one stays."""
    log: list[str] = field(default_factory=list)
    """The job's log; it grows by a line with each DescribeTrainingJob."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Jobs that are there already, as DescribeTrainingJob answers for them instead. A page of
    ListTrainingJobs has one. `then` is what changes once it has been described."""
    refusal: tuple[str, str] | None = None
    """Error code and message for CreateTrainingJob."""
    objects: dict[str, bytes] = field(default_factory=dict)
    """By "bucket/key", in the order of their making."""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    url: str = ""
    _described: int = 0

    def named(self, action: str) -> list[dict[str, Any]]:
        """The bodies of all calls of that name."""
        return [body for name, body in self.calls if name == action]

    def client(self, service: str) -> Any:
        return _client(self.url, service)

    def forget(self) -> None:
        """All but the port it listens on."""
        self.__init__(url=self.url)  # type: ignore[misc]

    # --- what the services answer: status and document ------------------------------------------

    def answer(self, action: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.calls.append((action, body))
        if action == "CreateTrainingJob":
            if self.refusal:
                code, message = self.refusal
                return 400, {"__type": code, "message": message}
            arn = f"arn:aws:sagemaker:{REGION}:000000000000:training-job/{body['TrainingJobName']}"
            return 200, {"TrainingJobArn": arn}
        if action == "ListTrainingJobs":
            names = [name for name in self.jobs if body["NameContains"] in name]
            page = int(body.get("NextToken", 0))
            found = [_summary(n, self.jobs[n]["TrainingJobStatus"]) for n in names[page : page + 1]]
            more = {"NextToken": str(page + 1)} if page + 1 < len(names) else {}
            return 200, {"TrainingJobSummaries": found, **more}
        if action == "StopTrainingJob" and body["TrainingJobName"] in self.jobs:
            self.jobs[body["TrainingJobName"]] |= {"TrainingJobStatus": "Stopping", "then": STOPPED}
            return 200, {}
        if action == "DescribeTrainingJob" and body["TrainingJobName"] in self.jobs:
            job = self.jobs[body["TrainingJobName"]]
            then = job.pop("then", {})
            described = dict(job)
            job |= then
            return 200, described
        if action == "DescribeTrainingJob":
            state = self.states[min(self._described, len(self.states) - 1)]
            self._described += 1
            return 200, {"TrainingJobName": body["TrainingJobName"], **state}
        if action == "DescribeLogStreams":
            if not self._shown:
                return 400, {"__type": "ResourceNotFoundException", "message": "no such group"}
            return 200, {"logStreams": [{"logStreamName": f"{body['logStreamNamePrefix']}algo-1"}]}
        if action == "GetLogEvents":
            begin = int(body.get("nextToken", "f/0").removeprefix("f/"))
            events = [{"timestamp": 0, "message": line} for line in self._shown[begin:]]
            return 200, {"events": events, "nextForwardToken": f"f/{len(self._shown)}"}
        return 200, {}

    @property
    def _shown(self) -> list[str]:
        return self.log[: self._described]

    # --- S3: status and body --------------------------------------------------------------------

    def s3(self, method: str, path: str, query: dict[str, list[str]], copy_source: str,
           body: bytes) -> tuple[int, bytes]:  # fmt: skip
        self.calls.append((f"S3 {method}", {"key": path}))
        if method == "PUT":
            self.objects[path] = self.objects[unquote(copy_source)] if copy_source else body
            return 200, b"<CopyObjectResult/>" if copy_source else b""
        if "list-type" in query:
            return 200, self._listing(path.rstrip("/"), query["prefix"][0])
        if method == "DELETE":
            del self.objects[path]
            return 204, b""
        return (200, self.objects[path]) if path in self.objects else (404, b"")

    def _listing(self, bucket: str, prefix: str) -> bytes:
        names = sorted(name.removeprefix(f"{bucket}/") for name in self.objects)
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[f'{bucket}/{key}'])}</Size>"
            "</Contents>"
            for key in names
            if key.startswith(prefix)
        )
        listing = f"<IsTruncated>false</IsTruncated>{entries}"
        return f"<ListBucketResult>{listing}</ListBucketResult>".encode()


@cache
def _client(url: str, service: str) -> Any:
    """Kept: AWS's models take a second to read."""
    return boto3.Session("AKIAFAKE", "fake", region_name=REGION).client(
        service,
        endpoint_url=url,
        config=Config(
            retries={"total_max_attempts": 1}, request_checksum_calculation="when_required"
        ),
    )


def _summary(name: str, status: str) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:000000000000:training-job/{name}",
        "CreationTime": 0,
        "TrainingJobStatus": status,
    }


@contextmanager
def fake_aws() -> Iterator[FakeAws]:
    fake = FakeAws()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # 1.0 leaves a client that expects 100-continue waiting
        disable_nagle_algorithm = True  # with it, a body waits for its headers' receipt

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            target = self.headers.get("X-Amz-Target")
            if target:
                status, document = fake.answer(target.split(".")[1], json.loads(body))
                out = json.dumps(document).encode()
            else:
                url = urlsplit(self.path)
                status, out = fake.s3(
                    self.command,
                    unquote(url.path).lstrip("/"),
                    parse_qs(url.query),
                    self.headers.get("x-amz-copy-source", ""),
                    body,
                )
            self.send_response(status)
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(out)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _respond

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
