"""The Lambda as it is deployed, environment and real boto3 clients, against AWS's wire formats.

The fakes of the other tests stand for boto3; this holds them to what boto3 makes of real answers,
and the clients to their settings: one attempt, a read time-out, URLs that S3 accepts.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from front_door.handler import build_front_door, handler, serve
from front_door.service import FrontDoor
from tests.fakes.front_door import ENV, REGISTRATION, REQUEST_ID, FakeRuntime, post

KEY = f"2026-11-22/{REQUEST_ID}/7.png"


class FakeAws(ThreadingHTTPServer):
    """SSM, the SageMaker runtime and S3 on one port. `failure` is what the endpoint answers in
    place of a picture: status, error type and body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeAwsHandler)
        self.failure: tuple[int, str, dict[str, Any]] | None = None
        self.hangs = False
        self.requests: list[str] = []
        self.stopping = threading.Event()


class FakeAwsHandler(BaseHTTPRequestHandler):
    server: FakeAws

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = self.headers.get("X-Amz-Target", self.path)
        self.server.requests.append(f"{self.command} {target}")
        if target == "AmazonSSM.GetParametersByPath":
            assert json.loads(body)["Path"] == "/sd/variants"
            parameter = {
                "Name": "/sd/variants/g5",
                "Value": json.dumps(REGISTRATION),
                "LastModifiedDate": 1795377600.0,
            }
            self._answer(200, {"Parameters": [parameter]})
        elif self.command in ("PUT", "GET"):
            self._answer(200, "a picture" if self.command == "GET" else None)
        elif self.server.hangs:
            self.server.stopping.wait(60)
            self.close_connection = True
        elif self.server.failure:
            status, error, answer = self.server.failure
            self._answer(status, answer, error)
        else:
            self._answer(200, json.load(FakeRuntime().invoke_endpoint(Body=body)["Body"]))

    do_PUT = do_GET = do_POST

    def _answer(self, status: int, body: Any = None, error: str = "") -> None:
        payload = json.dumps(body).encode() if body else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("x-amzn-ErrorType", error)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with FakeAws() as server:
        environment = {
            **ENV,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "NO_PROXY": "127.0.0.1",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield server
        server.stopping.set()
        server.shutdown()
    build_front_door.cache_clear()


EVENT = post({"prompt": "a red fox", "seed": 7, "num_inference_steps": 2})


def generate() -> tuple[int, dict[str, Any]]:
    response = handler(EVENT, SimpleNamespace(aws_request_id="invocation"))
    return response["statusCode"], json.loads(response["body"])


def generate_without_sleep() -> tuple[int, dict[str, Any]]:
    def build() -> FrontDoor:
        return replace(build_front_door(), sleep=lambda _: None)

    response = serve(EVENT, "invocation", build, print)
    return response["statusCode"], json.loads(response["body"])


def test_a_picture_by_a_url_signed_for_the_time_configured(
    aws: FakeAws, capsys: pytest.CaptureFixture[str]
) -> None:
    status, body = generate()
    assert status == 200
    url = urlsplit(body["data"][0]["url"])
    assert url.path.endswith(f"/{REQUEST_ID}/7.png")
    query = parse_qs(url.query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["3600"]
    assert "/eu-central-1/s3/" in query["X-Amz-Credential"][0]
    # Once each, whatever was retried: on a busy machine SSM's and S3's short time-outs may strike.
    assert list(dict.fromkeys(aws.requests)) == [
        "POST AmazonSSM.GetParametersByPath",
        "POST /endpoints/sd-g5/invocations",
        f"PUT {url.path}",
    ]
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["request_id"] == REQUEST_ID


@pytest.mark.usefixtures("aws")
def test_urls_on_aws_name_the_region_s_own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    bucket = build_front_door().pictures
    url = bucket.s3().generate_presigned_url(
        "get_object", Params={"Bucket": "pictures", "Key": KEY}, ExpiresIn=60
    )
    assert url.startswith(f"https://pictures.s3.eu-central-1.amazonaws.com/{KEY}?")
    assert bucket.key_of(url) == KEY


@pytest.mark.parametrize(
    "url",
    [
        f"https://others.s3.eu-central-1.amazonaws.com/{KEY}",
        f"https://pictures.s3.eu-central-1.amazonaws.com/below/{KEY}",
        f"http://pictures.s3.eu-central-1.amazonaws.com/{KEY}",
        f"https://pictures.s3.eu-central-1.amazonaws.com:8080/{KEY}",
        f"https://x@pictures.s3.eu-central-1.amazonaws.com/{KEY}",
        f"https://pictures.s3.eu-central-1.amazonaws.com#@169.254.169.254/{KEY}",
        f"https://169.254.169.254/{KEY}",
    ],
)
@pytest.mark.usefixtures("aws")
def test_no_other_address_is_read(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert build_front_door().pictures.key_of(url) is None


def test_a_picture_made_here_is_edited_by_its_url(aws: FakeAws) -> None:
    url = generate()[1]["data"][0]["url"]
    aws.requests.clear()
    event = post({"prompt": "x", "image": url}, resource="/images/edits")
    response = handler(event, SimpleNamespace(aws_request_id="invocation"))
    assert response["statusCode"] == 200
    assert aws.requests[0] == f"GET {urlsplit(url).path}"


def by_container(status: int, message: str, said: str = "") -> tuple[int, str, dict[str, Any]]:
    body = {"Message": said, "OriginalStatusCode": status, "OriginalMessage": message}
    return 424, "ModelError", body


REFUSAL = {"error": {"type": "invalid_request", "param": "height", "message": "height must be 512"}}
NO_ENDPOINT = "Endpoint sd-g5 of account 0 not found."
NO_RESPONSE = (
    'Received server error (0) from primary with message "Amazon SageMaker could not get a '
    'response from the sd-g5 endpoint."'
)


@pytest.mark.parametrize(
    ("failure", "expected", "tries"),
    [
        (by_container(400, json.dumps(REFUSAL)), (400, "out_of_range"), 1),
        (by_container(500, "Unhealthy"), (500, "internal_error"), 1),
        (by_container(503, "Unhealthy"), (503, "model_unavailable"), 3),
        (by_container(0, "", NO_RESPONSE), (503, "model_interrupted"), 1),
        (by_container(413, "Response payload"), (400, "response_too_large"), 1),
        ((400, "ValidationError", {"message": NO_ENDPOINT}), (503, "model_not_in_service"), 1),
        ((400, "ThrottlingException", {"message": None}), (429, "rate_limited"), 3),
        ((503, "ServiceUnavailable", {"Message": "busy"}), (503, "model_unavailable"), 3),
        ((500, "InternalFailure", {"Message": "oops"}), (500, "internal_error"), 1),
    ],
)
def test_errors_of_the_endpoint_are_told_apart_and_tried_again_where_nothing_was_drawn(
    aws: FakeAws, failure: tuple[int, str, dict[str, Any]], expected: tuple[int, str], tries: int
) -> None:
    aws.failure = failure
    status, body = generate_without_sleep()
    assert (status, body["error"]["code"]) == expected
    assert aws.requests.count("POST /endpoints/sd-g5/invocations") == tries


def test_an_endpoint_that_never_answers_is_given_up_in_time(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SD_GATEWAY_TIMEOUT_S", "4")  # leaves the endpoint one second
    aws.hangs = True
    status, body = generate()
    assert (status, body["error"]["code"]) == (504, "timeout")
    assert aws.requests.count("POST /endpoints/sd-g5/invocations") == 1


def test_an_endpoint_that_can_t_be_reached(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "http://127.0.0.1:1")
    status, body = generate_without_sleep()
    assert (status, body["error"]["code"]) == (503, "model_unavailable")
    assert set(aws.requests) == {"POST AmazonSSM.GetParametersByPath"}


@pytest.mark.usefixtures("aws")
def test_a_wrong_environment_is_a_500_with_the_reason_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SD_PICTURE_BUCKET")
    status, body = generate()
    assert status == 500
    assert "SD_PICTURE_BUCKET" not in json.dumps(body)
    assert "SD_PICTURE_BUCKET is missing" in capsys.readouterr().out
