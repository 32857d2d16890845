"""Bytes to a JSON object: what isn't one is refused by a sentence that says why."""

import base64
import json

import pytest

from front_door.errors import BodyTooLarge, InvalidRequest, RequestError
from front_door.request_body import RawBody, parse_body


def parse(
    text: str,
    *,
    is_base64: bool = False,
    content_type: str | None = None,
    content_encoding: str | None = None,
    max_bytes: int = 200_000,
) -> dict[str, object]:
    return parse_body(RawBody(text, is_base64, content_type, content_encoding), max_bytes)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json;charset=utf8",
        "application/json; charset=us-ascii",
    ],
)
def test_json_is_parsed(content_type: str | None) -> None:
    assert parse('{"prompt": "füchse 🦊"}', content_type=content_type) == {"prompt": "füchse 🦊"}


@pytest.mark.parametrize("is_base64", [False, True])
def test_a_byte_order_mark_is_no_part_of_json(is_base64: bool) -> None:
    data = b'\xef\xbb\xbf{"prompt": "x"}'
    text = base64.b64encode(data).decode() if is_base64 else data.decode()
    assert parse(text, is_base64=is_base64) == {"prompt": "x"}


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP, identity"])
def test_a_content_encoding_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(InvalidRequest, match=f"Content-Encoding.*{encoding!r}") as caught:
        parse('{"prompt": "x"}', content_encoding=encoding)
    assert caught.value.code == "invalid_content_encoding"


@pytest.mark.parametrize("encoding", ["identity", "", " Identity "])
def test_none_is_taken(encoding: str) -> None:
    assert parse('{"prompt": "x"}', content_encoding=encoding) == {"prompt": "x"}


def test_base64_from_the_gateway_is_decoded() -> None:
    text = base64.b64encode('{"prompt": "füchse"}'.encode()).decode()
    assert parse(text, is_base64=True) == {"prompt": "füchse"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the body is empty"),
        (" \n", "the body is empty"),
        ('{"prompt": }', r"not valid JSON: Expecting value \(line 1, column 12\)"),
        ("{'prompt': 1}", "not valid JSON: Expecting property name"),
        ('{"prompt": "x"} tail', "not valid JSON: Extra data"),
        ("[" * 900, "not valid JSON"),
        ("[" * 100_000, "too deeply nested, or a number too long"),
        ('{"n": ' + "9" * 5000 + "}", "too deeply nested, or a number too long"),
        ('{"n": NaN}', "NaN is not a JSON number"),
        ('{"guidance_scale": -Infinity}', "-Infinity is not a JSON number"),
        ('["prompt"]', "must be a JSON object"),
        ('"prompt"', "must be a JSON object"),
        ("null", "must be a JSON object"),
        ('{"n": 1, "n": 2}', "n: given twice"),
        ("\ud800", "could not be decoded"),
    ],
)
def test_what_is_no_json_object_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        parse(text)
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not base64!", "could not be decoded"),
        (base64.b64encode(b"\xff\xfe{}").decode(), "it is not UTF-8"),
    ],
)
def test_broken_base64(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse(text, is_base64=True)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",  # curl -d without -H
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=no-such",
        "application/json; charset=utf-8\x00",
        "",
    ],
)
def test_other_content_types_are_refused_and_shown(content_type: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse('{"prompt": "x"}', content_type=content_type)
    assert caught.value.code == "invalid_content_type"
    said = "the Content-Type header must be application/json (UTF-8), not "
    assert str(caught.value) == f"{said}{content_type!r}"


def test_a_content_type_that_can_t_be_put_together_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="Content-Type header must be"):
        parse("{}", content_type=f"application/json; charset*{'9' * 5000}=utf-8")


@pytest.mark.parametrize("is_base64", [False, True])
def test_the_size_limit_counts_decoded_bytes(is_base64: bool) -> None:
    def body(size: int) -> str:
        text = json.dumps({"prompt": ""}).replace('""', '"' + "ü" * 10 + "x" * (size - 34) + '"')
        assert len(text.encode()) == size
        return base64.b64encode(text.encode()).decode() if is_base64 else text

    parse(body(100), is_base64=is_base64, max_bytes=100)
    with pytest.raises(BodyTooLarge, match="at most 100 bytes"):
        parse(body(101), is_base64=is_base64, max_bytes=100)
    with pytest.raises(BodyTooLarge):
        parse(body(10_000), is_base64=is_base64, max_bytes=100)


def test_the_size_is_checked_before_anything_is_decoded() -> None:
    with pytest.raises(RequestError) as caught:
        parse("!" * 1000, is_base64=True, max_bytes=100)
    assert caught.value.code == "body_too_large"
