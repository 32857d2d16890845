"""The Lambda as it is deployed, environment and real boto3 clients, against AWS's wire formats.

The fakes of the other tests stand for boto3; this holds them to what boto3 makes of real answers,
and the clients to their settings: one attempt, a read time-out, URLs that S3 accepts.
"""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from front_door.handler import build_front_door, handler
from sd_contract.invocation import STAGES
from tests.unit.front_door_fakes import PNG, REGISTRATION, REQUEST_ID, post
from tests.unit.test_front_door_config import ENV

CONTEXT = SimpleNamespace(aws_request_id="invocation")


class FakeAws(ThreadingHTTPServer):
    """SSM, the SageMaker runtime and S3 on one port. `invocation` is what the endpoint answers:
    status, error type and body; None: nothing at all, until the server stops."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeAwsHandler)
        self.invocation: tuple[int, str, dict[str, Any]] | None = (200, "", {})
        self.registrations = [REGISTRATION]
        self.requests: list[str] = []
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class FakeAwsHandler(BaseHTTPRequestHandler):
    server: FakeAws

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        target = self.headers.get("X-Amz-Target", self.path)
        self.server.requests.append(target)
        if target == "AmazonSSM.GetParametersByPath":
            assert json.loads(body)["Path"] == "/sd/variants"
            parameters = [
                {
                    "Name": f"/sd/variants/{registration['name']}",
                    "Value": json.dumps(registration),
                    "LastModifiedDate": 1795377600.0,
                }
                for registration in self.server.registrations
            ]
            self._answer(200, {"Parameters": parameters})
        elif self.server.invocation is None:
            self.server.stopping.wait(60)
            self.close_connection = True
        else:
            status, error, answer = self.server.invocation
            self._answer(status, answer, {"x-amzn-ErrorType": error} if error else {})

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(f"PUT {self.path} {self.headers['Content-Type']}")
        self._answer(200, None)

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        payload = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    server = FakeAws()
    environment = {
        **ENV,
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    build_front_door.cache_clear()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.stopping.set()
    server.shutdown()
    thread.join()
    server.server_close()
    build_front_door.cache_clear()


def generate(**body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    response = handler(post({"prompt": "a red fox", "seed": 7, **body}), CONTEXT)
    return response, json.loads(response["body"])


ANSWER = {
    "images": [base64.b64encode(PNG).decode()],
    "seeds": [7],
    "timings_ms": dict.fromkeys(STAGES, 1),
    "output_format": "png",
    "warnings": [],
    "engine": {"images_in_batch": 1},
}


def test_a_picture(aws: FakeAws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.invocation = (200, "", ANSWER)
    response, body = generate(num_inference_steps=2)
    assert response["statusCode"] == 200
    # Once each, whatever was retried: on a busy machine SSM's and S3's short time-outs may strike.
    assert list(dict.fromkeys(aws.requests)) == [
        "AmazonSSM.GetParametersByPath",
        "/endpoints/sd-g5/invocations",
        f"PUT /pictures/{body_key(body)} image/png",
    ]
    assert body_key(body).split("/")[1:] == [REQUEST_ID, "7.png"]
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["request_id"] == REQUEST_ID


def body_key(body: dict[str, Any]) -> str:
    url: str = body["data"][0]["url"]
    return urlsplit(url).path.removeprefix("/pictures/")


def test_urls_are_signed_with_version_4_for_the_time_configured(aws: FakeAws) -> None:
    aws.invocation = (200, "", ANSWER)
    _, body = generate(num_inference_steps=2)
    query = parse_qs(urlsplit(body["data"][0]["url"]).query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["3600"]
    assert "/eu-central-1/s3/" in query["X-Amz-Credential"][0]


@pytest.mark.usefixtures("aws")
def test_urls_on_aws_name_the_region_s_own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    url = build_front_door().s3.generate_presigned_url(
        "get_object", Params={"Bucket": "pictures", "Key": "k.png"}, ExpiresIn=60
    )
    assert url.startswith("https://pictures.s3.eu-central-1.amazonaws.com/k.png?")


@pytest.mark.parametrize(
    ("invocation", "status", "code"),
    [
        (
            (
                424,
                "ModelError",
                {
                    "Message": "Received client error (400) from primary",
                    "OriginalStatusCode": 400,
                    "OriginalMessage": json.dumps(
                        {
                            "error": {
                                "type": "invalid_request",
                                "param": "height",
                                "message": "height must be 512",
                            }
                        }
                    ),
                },
            ),
            400,
            "out_of_range",
        ),
        (
            (424, "ModelError", {"OriginalStatusCode": 500, "OriginalMessage": "Unhealthy"}),
            500,
            "internal_error",
        ),
        (
            (424, "ModelError", {"OriginalStatusCode": 503, "OriginalMessage": "Unhealthy"}),
            503,
            "model_unavailable",
        ),
        (
            (
                424,
                "ModelError",
                {
                    "Message": "Received server error (0) from primary with message "
                    '"Amazon SageMaker could not get a response from the sd-g5 endpoint."',
                    "OriginalStatusCode": 0,
                },
            ),
            503,
            "model_unavailable",
        ),
        (
            (400, "ValidationError", {"message": "Endpoint sd-g5 of account 0 not found."}),
            503,
            "model_unavailable",
        ),
        ((400, "ThrottlingException", {"message": None}), 429, "rate_limited"),
        ((503, "ServiceUnavailable", {"Message": "busy"}), 503, "model_unavailable"),
        ((500, "InternalFailure", {"Message": "oops"}), 500, "internal_error"),
    ],
)
def test_errors_of_the_endpoint_are_told_apart_and_not_retried(
    aws: FakeAws, invocation: tuple[int, str, dict[str, Any]], status: int, code: str
) -> None:
    aws.invocation = invocation
    response, body = generate(num_inference_steps=2)
    assert (response["statusCode"], body["error"]["code"]) == (status, code)
    assert aws.requests.count("/endpoints/sd-g5/invocations") == 1


def test_an_endpoint_gone_with_its_variant_is_a_404_at_once(aws: FakeAws) -> None:
    aws.invocation = (200, "", ANSWER)
    assert generate(num_inference_steps=2)[0]["statusCode"] == 200
    aws.registrations = []
    aws.invocation = (400, "ValidationError", {"message": "Endpoint sd-g5 of account 0 not found."})
    response, body = generate(num_inference_steps=2)
    assert (response["statusCode"], body["error"]["code"]) == (404, "model_not_found")
    assert aws.requests.count("/endpoints/sd-g5/invocations") == 2


def test_an_endpoint_that_never_answers_is_given_up_in_time(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SD_GATEWAY_TIMEOUT_S", "4")  # leaves the endpoint one second
    aws.invocation = None
    response, body = generate(num_inference_steps=2)
    assert (response["statusCode"], body["error"]["code"]) == (504, "timeout")
    assert aws.requests.count("/endpoints/sd-g5/invocations") == 1


def test_an_endpoint_that_can_t_be_reached(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        monkeypatch.setenv(
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", f"http://127.0.0.1:{closed.getsockname()[1]}"
        )
        response, body = generate(num_inference_steps=2)
    assert (response["statusCode"], body["error"]["code"]) == (503, "model_unavailable")
    assert set(aws.requests) == {"AmazonSSM.GetParametersByPath"}


@pytest.mark.usefixtures("aws")
def test_a_wrong_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SD_PICTURE_BUCKET")
    response, _ = generate()
    assert response["statusCode"] == 500
    assert "SD_PICTURE_BUCKET is missing" in capsys.readouterr().out
