"""multipart/form-data: what browsers, curl and OpenAI's clients send, to the byte; and what isn't
one is refused by a sentence that says why."""

import base64
import random
from email.message import Message
from typing import Any

import httpx
import pytest

from front_door.errors import BodyTooLarge, InvalidRequest
from front_door.generation import EDIT, parse_fields
from front_door.multipart import MOST_PARTS, FormError, Part, parse_form
from front_door.request_body import RawBody, parse_body_or_form

FORM = "multipart/form-data; boundary=b"


def message(header: str = FORM) -> Message:
    found = Message()
    found["content-type"] = header
    return found


def raw(body: bytes, content_type: str = FORM) -> RawBody:
    return RawBody(base64.b64encode(body).decode(), True, content_type)


def parse(body: bytes, content_type: str = FORM, max_bytes: int = 10_000_000) -> dict[str, Any]:
    return parse_body_or_form(raw(body, content_type), max_bytes, EDIT.known, EDIT.openai)


def form(*parts: tuple[str, bytes]) -> bytes:
    """Of what follows "form-data; " in the header, and contents."""
    written = b"".join(
        b"--b\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (head.encode(), data)
        for head, data in parts
    )
    return written + b"--b--\r\n"


def texts(**values: str) -> bytes:
    return form(*((f'name="{name}"', value.encode()) for name, value in values.items()))


def test_what_httpx_sends() -> None:
    picture = bytes(range(256)) * 40
    request = httpx.Request(
        "POST",
        "http://x",
        data={"prompt": "füchse 🦊\r\n--b", "n": "2", "strength": "0.5", "stream": "false"},
        files={"image[]": ("ä.png", picture, "image/png"), "mask": picture[:9]},
    )
    assert parse(request.read(), request.headers["content-type"]) == {
        "prompt": "füchse 🦊\r\n--b",
        "n": 2,
        "strength": 0.5,
        "stream": False,
        "image": picture,
        "mask": picture[:9],
    }


def test_any_bytes_come_through() -> None:
    drawn = random.Random(7)
    pieces = [b"\r", b"\n", b"-", b"b", b"\0", b"\xff", b"\r\n--", b"\n--b\r\n", b"\r\n--bb"]
    for _ in range(500):
        contents = [b"".join(drawn.choices(pieces, k=size)) for size in (0, 1, 9, 30)]
        body = form(*(('name="x"; filename="y"', content) for content in contents))
        lines = [line for content in contents for line in content.split(b"\r\n")]
        if b"--b" not in lines and b"--b--" not in lines:
            assert [part.data for part in parse_form(body, message())] == contents


def test_what_stands_before_and_after_is_left_out() -> None:
    body = b"preamble\r\n" + texts(n="1").replace(b"--b\r\n", b"--b \t\r\n") + b"epilogue --b"
    assert parse_form(body, message()) == [Part("n", b"1", None)]


def test_a_line_that_only_begins_like_a_delimiter_is_content() -> None:
    body = form(('name="prompt"', b"--bb\r\n--b--b\r\n x--b"))
    assert parse(body) == {"prompt": "--bb\r\n--b--b\r\n x--b"}


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), ("-1", -1), ("1.0", 1.0), ("1e1", 10.0), ("0.75", 0.75), ("2.50", 2.5)],
)
def test_a_number_is_one_as_json_writes_it(text: str, value: float) -> None:
    assert parse(texts(n=text)) == {"n": value}


@pytest.mark.parametrize(
    "text", ["", " 2", "2 ", "+2", "02", "0x2", "2,0", "1_0", "two", "NaN", "null", "٢", "9" * 5000]
)
def test_nothing_else_is_one(text: str) -> None:
    assert parse(texts(n=text)) == {"n": text}
    with pytest.raises(InvalidRequest, match="n: must be an integer from 1 to 4, not"):
        parse_fields(parse(texts(prompt="x", image="x", n=text)), EDIT)


def test_texts_stay_texts() -> None:
    given = {"prompt": "2", "user": "true", "size": "512x512", "negative_prompt": ""}
    assert parse(texts(**given)) == given


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("stream", "false", False),
        ("stream", "true", "true"),
        ("partial_images", "0", 0),
        ("partial_images", "1", "1"),
        ("quality", "auto", "auto"),
    ],
)
def test_openai_s_other_fields_are_read_by_what_they_may_be(
    name: str, text: str, value: Any
) -> None:
    [read] = parse(texts(**{name: text})).values()
    assert (read, type(read)) == (value, type(value))


def test_a_picture_that_is_no_file_is_text_as_in_json() -> None:
    assert parse(texts(image="2026-11-22/id/7.png")) == {"image": "2026-11-22/id/7.png"}


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (('name="n"', b"1"), "n: given twice"),
        (('name="image[]"; filename="a"', b"1"), "image: one picture, not more"),
    ],
)
def test_nothing_is_given_twice(parts: tuple[str, bytes], said: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{said}") as caught:
        parse(form(parts, parts))
    assert caught.value.code == "invalid_form"


HEAD = b'--b\r\nContent-Disposition: form-data; name="n"\r\n'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "cut off"),
        (b"no form", "cut off"),
        (texts(n="1")[:-4], "cut off"),
        (HEAD + b"\r\n1", "cut off"),
        (b"--b\r\n\r\n1\r\n--b--", "without Content-Disposition"),
        (form(("filename=x", b"")), "without a name"),
        (form(('name=""', b"")), "without a name"),
        (form(('name="ä"', b"")), "without a name"),
        (
            HEAD + b"Content-Transfer-Encoding: base64\r\n\r\nMQ==\r\n--b--",
            "n: sent with a Content",
        ),
        (form((f"name=x; filename*{'9' * 5000}=a", b"")), "name or filename can't be read"),
        (form(("name=x; filename*=idna''a", b"")), "name or filename can't be read"),
        (form(("name=x; filename*=raw_unicode_escape''%5cud800", b"")), "can't be read"),
        (form(('name="prompt"', b"\xff")), "prompt: must be UTF-8 text"),
        (form(('name="image"', b"\xff")), "image: must be UTF-8 text, or a file"),
        (form(*[('name="n"', b"")] * (MOST_PARTS + 1)), f"more than {MOST_PARTS} parts"),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        parse(body)
    assert caught.value.code == "invalid_form"


@pytest.mark.parametrize(
    "header",
    [
        "multipart/form-data",
        f"multipart/form-data; boundary={'b' * 71}",
        "multipart/form-data; boundary*=idna''b",
    ],
)
def test_a_form_has_a_boundary(header: str) -> None:
    with pytest.raises(FormError, match="no boundary of 1 to 70 characters"):
        parse_form(texts(n="1"), message(header))


def test_the_size_limit_is_the_whole_form_s() -> None:
    body = texts(prompt="x" * 100)
    assert parse(body, max_bytes=len(body))
    with pytest.raises(BodyTooLarge, match=f"at most {len(body) - 1} bytes"):
        parse(body, max_bytes=len(body) - 1)


def test_json_is_taken_in_its_place() -> None:
    assert parse(b'{"prompt": "x", "n": 2}', "application/json") == {"prompt": "x", "n": 2}


def test_other_content_types_are_refused_with_both() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(b"", "application/x-www-form-urlencoded")
    assert str(caught.value) == (
        "the Content-Type header must be application/json or multipart/form-data (UTF-8), "
        "not 'application/x-www-form-urlencoded'"
    )


def test_a_file_has_its_name_in_whatever_script() -> None:
    body = form(
        ('name="file"; filename="füchse 🦊.jsonl"', b"{}"),
        ("name=file; filename*=utf-8''f%C3%BCchse.jsonl", b"{}"),
        ('name="purpose"', b"batch"),
    )
    names = [part.filename for part in parse_form(body, message())]
    assert names == ["füchse 🦊.jsonl", "füchse.jsonl", None]
