"""boto3's own uploader fed with a stream that turns out damaged: no object may come of it."""

import hashlib
import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config

from stacks.build_scripts.retry import ATTEMPTS, TransferError
from stacks.build_scripts.upload import File, Store

# Above boto3's 8 MB, so that it goes up in parts.
LARGE = b"x" * 9_000_000
STARTED = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
COMPLETED = b"<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>"


class _Body(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


class FakeWire:
    """Answers a real client's HTTP requests for an empty bucket and notes what they were."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def __call__(self, request: AWSRequest, **_: Any) -> AWSResponse:
        query = parse_qs(urlsplit(request.url).query, keep_blank_values=True)
        what, body = f"{request.method} object", b""
        if "list-type" in query:
            what, body = "list", b"<ListBucketResult></ListBucketResult>"
        elif "uploads" in query:
            what, body = "start parts", STARTED
        elif "partNumber" in query:
            what = "part"
        elif request.method == "POST":
            what, body = "complete parts", COMPLETED
        elif request.method == "DELETE":
            what = "give up parts"
        self.did.append(what)
        return AWSResponse(request.url, 200, {"ETag": '"1"'}, _Body(body))


@pytest.fixture
def wire() -> FakeWire:
    return FakeWire()


@pytest.fixture
def store(wire: FakeWire) -> Store:
    unsigned = Config(signature_version=botocore.UNSIGNED)
    s3 = boto3.client("s3", region_name="us-east-1", config=unsigned)
    s3.meta.events.register("before-send.s3", wire)
    return Store(s3, "models", "weights/k/", lambda _: None, lambda _: None)


def large(content: bytes) -> File:
    return File("unet/model", len(content), "sha256", hashlib.sha256(content).hexdigest())


def test_what_arrives_whole_is_completed(wire: FakeWire, store: Store) -> None:
    file = large(LARGE)
    assert store.put("unet/model", file, lambda: io.BytesIO(LARGE)) == file.digest
    assert wire.did[0] == "list"
    assert sorted(wire.did[1:]) == ["complete parts", "part", "part", "start parts"]


@pytest.mark.parametrize("received", [LARGE[:-1] + b"y", LARGE[:-1], LARGE + b"x"])
def test_what_arrives_damaged_is_given_up(wire: FakeWire, store: Store, received: bytes) -> None:
    with pytest.raises(TransferError, match="damaged"):
        store.put("unet/model", large(LARGE), lambda: io.BytesIO(received))
    assert "complete parts" not in wire.did
    assert wire.did.count("give up parts") == ATTEMPTS


def test_a_small_damaged_file_is_not_even_sent(wire: FakeWire, store: Store) -> None:
    with pytest.raises(TransferError, match="damaged"):
        store.put("unet/model", large(b"small"), lambda: io.BytesIO(b"smile"))
    assert set(wire.did) == {"list"}
