"""Links by the hundred thousand are botocore's links."""

import json
import tracemalloc
from collections.abc import Iterator

import pytest
from botocore.config import Config
from botocore.session import Session

from batches.links import link_maker, signed_lines
from batches.objects import ObjectNotThere, Objects
from tests.fakes import batches as fakes


@pytest.fixture
def session() -> Iterator[Session]:
    with fakes.aws() as session:
        yield session


def objects(session: Session, **config: str) -> Objects:
    place = Config(signature_version="s3v4", s3={"addressing_style": "virtual"}, **config)
    client = session.create_client("s3", config=place, region_name="eu-west-1")
    return Objects(client, fakes.BUCKET, 3600)


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:4566"])
def test_a_link_is_botocore_s(
    session: Session, endpoint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    bucket = objects(session)
    link = link_maker(bucket, session)
    key = "batches/batch_1/pictures/000001-4294967295.png"
    for _ in range(3):  # a second may begin in between
        if link(key) == bucket.download_url(key):
            return
        link = link_maker(bucket, session)
    assert link(key) == bucket.download_url(key)


def test_a_key_becomes_a_link_and_a_text_that_looks_like_one_does_not() -> None:
    line = {
        "custom_id": '"key": "batches/mine"',
        "response": {"body": {"data": [{"key": "batches/b/pictures/1-7.png", "seed": 7}]}},
    }
    [signed] = signed_lines(json.dumps(line).encode(), lambda key: f"https://{key}").splitlines()
    expected = {"url": "https://batches/b/pictures/1-7.png", "seed": 7}
    assert json.loads(signed) == {**line, "response": {"body": {"data": [expected]}}}


def test_links_are_in_memory_once() -> None:
    content = b'{"key": "batches/b/pictures/1-7.png"}\n' * 10_000
    tracemalloc.start()
    try:
        signed = signed_lines(content, lambda key: f"https://{key}?{'x' * 1000}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert signed.count(b"\n") == 10_000
    assert peak < 1.5 * len(signed)


def test_lines_come_one_by_one(session: Session) -> None:
    bucket = objects(session)
    content = b"\n".join([b"a" * 700_000, b"", b"b" * 700_000, b"c"])
    bucket.put("files/1", content, "application/jsonl")
    assert list(bucket.lines("files/1", 800_000)) == content.split(b"\n")
    bucket.put("files/2", b"one\n" + b"x" * 5_000_000, "application/jsonl")
    short, long = bucket.lines("files/2", 1000)
    assert short == b"one"
    assert 1000 < len(long) < 5_000_000
    with pytest.raises(ObjectNotThere):
        bucket.read("files/3")
    assert bucket.size("files/3") is None
    assert bucket.size("files/1") == len(content)
    assert bucket.keys("files/") == {"files/1", "files/2"}
