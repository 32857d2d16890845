"""The signing function: pictures in and out, by Lambda's messages or by S3; a deploy's try."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from cfn_requests.answering import answer_request
from content_credentials.check import PICTURE, Check
from content_credentials.handler import answer
from content_credentials.signer import PictureSigner
from sd_contract.limits import LAMBDA_BYTES
from sd_contract.signing import FOLDER, Passage, SigningRequest, read_pictures
from tests.fakes.content_credentials import DAY, KEY_ARN, Authority, FakeKms, new_key, verify

KEY = f"{FOLDER}c6af9ac6.json"


class FakeS3:
    """The pictures' bucket."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:
        assert (Bucket, ContentType) == ("pictures", "application/json")
        self.objects[Key] = Body

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        assert Bucket == "pictures"
        return {"Body": io.BytesIO(self.objects[Key])}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def kms() -> FakeKms:
    return FakeKms()


@pytest.fixture
def signer(authority: Authority, kms: FakeKms) -> PictureSigner:
    return PictureSigner(kms, KEY_ARN, authority.chain(kms.key.public_key()), "")


@pytest.fixture
def passage() -> Passage:
    s3 = FakeS3()
    return Passage(lambda: s3, "pictures")


def stored(passage: Passage) -> dict[str, bytes]:
    found: dict[str, bytes] = passage.s3().objects
    return found


def noise(side: int, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.effect_noise((side, side), 100).save(out, kind)
    return out.getvalue()


def sent(event: dict[str, Any]) -> dict[str, Any]:
    """As Lambda passes it, JSON no longer than it may be."""
    body = json.dumps(event)
    assert len(body) <= LAMBDA_BYTES
    message: dict[str, Any] = json.loads(body)
    return message


def signed(request: SigningRequest, passage: Passage, signer: PictureSigner) -> tuple[bytes, ...]:
    event = sent(passage.pack(request.document(), KEY))
    message = sent(answer(event, passage, signer))
    return read_pictures(passage.unpack(message))


def test_pictures_pass_in_the_event_and_the_response(
    passage: Passage, signer: PictureSigner, authority: Authority
) -> None:
    request = SigningRequest((noise(64), noise(65)), "image/png", "a/model")
    pictures = signed(request, passage, signer)
    assert [Image.open(io.BytesIO(each)).width for each in pictures] == [64, 65]
    for each in pictures:
        assert verify(each, "image/png", authority.anchor).state == "Trusted"
    assert stored(passage) == {}


def test_what_is_larger_than_lambda_takes_passes_by_one_object(
    passage: Passage, signer: PictureSigner, authority: Authority
) -> None:
    large = tuple(noise(1500) for _ in range(3))
    assert sum(map(len, large)) * 4 // 3 > LAMBDA_BYTES
    pictures = signed(SigningRequest(large, "image/png", "a/model"), passage, signer)
    for each in pictures:
        assert verify(each, "image/png", authority.anchor).state == "Trusted"
    # None that isn't signed is left.
    (kept,) = stored(passage).values()
    assert read_pictures(json.loads(kept)) == pictures


def test_an_answer_that_has_grown_beyond_it_passes_by_an_object(
    passage: Passage, signer: PictureSigner, authority: Authority
) -> None:
    """A manifest takes some 12 kB."""
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "PNG")
    # What follows a PNG's end is nobody's; a request that fits by a hair.
    room = LAMBDA_BYTES - 2_048
    padded = out.getvalue() + b"\0" * (room * 3 // 4 - out.tell())
    request = SigningRequest((padded,), "image/png", "a/model")
    assert "document" in passage.pack(request.document(), KEY)
    (picture,) = signed(request, passage, signer)
    assert verify(picture, "image/png", authority.anchor).state == "Trusted"
    assert list(stored(passage)) == [KEY]


def test_an_edit_s_picture_comes_along(passage: Passage, signer: PictureSigner) -> None:
    request = SigningRequest((noise(64),), "image/png", "a/model", noise(64, "JPEG"))
    assert SigningRequest.read(json.loads(json.dumps(request.document()))) == request
    assert len(signed(request, passage, signer)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"pictures": ["%"], "media_type": "image/png", "model": "m", "parent": None},
        {"pictures": "", "media_type": "image/png", "model": "m"},
    ],
)
def test_what_is_no_request_is_an_error(
    passage: Passage, signer: PictureSigner, wrong: dict[str, Any]
) -> None:
    with pytest.raises((KeyError, ValueError)):
        answer({"key": KEY, "document": wrong}, passage, signer)


def test_what_cannot_be_signed_is_an_error(
    passage: Passage, signer: PictureSigner, kms: FakeKms
) -> None:
    kms.refusal = RuntimeError("no key")
    with pytest.raises(RuntimeError, match="no key"):
        signed(SigningRequest((noise(64),), "image/png", "a/model"), passage, signer)


def tried(signer: PictureSigner, kind: str = "Create") -> dict[str, Any]:
    """CloudFormation's request, answered."""
    event = {
        "RequestType": kind,
        "RequestId": "r",
        "StackId": "s",
        "LogicalResourceId": "Check",
        "ResponseURL": "https://response",
        "ResourceProperties": {},
        **({"PhysicalResourceId": "earlier"} if kind != "Create" else {}),
    }
    answers: list[dict[str, Any]] = []
    answer_request(
        event,
        lambda: Check(signer).carry_out(event),
        lambda _url, document: answers.append(dict(document)),
    )
    (given,) = answers
    return given


def test_a_deploy_that_can_sign_goes_on(signer: PictureSigner, kms: FakeKms) -> None:
    assert Image.open(io.BytesIO(PICTURE)).size == (1, 1)
    first, update = tried(signer), tried(signer, "Update")
    assert (first["Status"], update["Status"], kms.calls) == ("SUCCESS", "SUCCESS", 2)
    # The same resource: CloudFormation has nothing to delete.
    assert first["PhysicalResourceId"] == update["PhysicalResourceId"]


def test_a_deploy_fails_with_a_certificate_of_another_key(
    authority: Authority, kms: FakeKms
) -> None:
    chain = authority.chain(new_key().public_key())
    given = tried(PictureSigner(kms, KEY_ARN, chain, ""))
    assert given["Status"] == "FAILED"
    for said in (KEY_ARN, "sd.api.c2pa.certificate_chain", "does not match"):
        assert said in given["Reason"]


def test_a_deploy_fails_with_a_certificate_that_has_ended(
    authority: Authority, kms: FakeKms
) -> None:
    chain = authority.chain(kms.key.public_key(), valid=(-2 * DAY, -DAY))
    given = tried(PictureSigner(kms, KEY_ARN, chain, ""))
    assert (given["Status"], "not valid at time" in given["Reason"]) == ("FAILED", True)


def test_a_deploy_fails_where_kms_refuses_and_a_destroy_does_not_ask(
    signer: PictureSigner, kms: FakeKms
) -> None:
    error = {"Error": {"Code": "DisabledException", "Message": "key is disabled"}}
    kms.refusal = ClientError(error, "Sign")
    assert "key is disabled" in tried(signer)["Reason"]
    gone = tried(signer, "Delete")
    assert (gone["Status"], gone["PhysicalResourceId"]) == ("SUCCESS", "earlier")
