"""The request's bytes → its fields' values, or an error that says what is wrong with them."""

import base64
import binascii
import codecs
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from front_door.errors import BodyTooLarge, InvalidRequest
from front_door.multipart import FormError, Part, parse_form
from front_door.openai_fields import OpenAiField
from sd_contract.fields import Allowed, Flag, Number, Problem, shown

JSON, FORM = "application/json", "multipart/form-data"
PICTURES = ("image", "mask")
"""The fields that a form has as files: their values are bytes then."""
# Of JSON (RFC 8259, 6), as far as a field can take it.
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,15})(\.\d{1,20})?([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True)
class RawBody:
    """As the gateway hands it over: `text` may be base64 of what the client sent."""

    text: str
    is_base64: bool
    content_type: str | None
    content_encoding: str | None = None


def parse_body(raw: RawBody, max_bytes: int) -> dict[str, Any]:
    """A JSON object. Raises BodyTooLarge, InvalidRequest."""
    _check_headers(raw, JSON)
    return _parse_body(_decode(raw, max_bytes))


def parse_body_or_form(
    raw: RawBody,
    max_bytes: int,
    known: Mapping[str, Allowed],
    openai: Iterable[OpenAiField],
) -> dict[str, Any]:
    """A JSON object; or a form, whose texts become what JSON would have for their fields. Raises
    BodyTooLarge, InvalidRequest."""
    body = parse_body_or_parts(raw, max_bytes)
    if isinstance(body, dict):
        return body
    readers = {field.name: field.from_text for field in openai}
    return _form_values(body, known, readers)


def parse_body_or_parts(raw: RawBody, max_bytes: int) -> dict[str, Any] | list[Part]:
    """A JSON object; or a form's parts. Raises BodyTooLarge, InvalidRequest."""
    content_type = _check_headers(raw, JSON, FORM)
    data = _decode(raw, max_bytes)
    if content_type.get_content_type() == JSON:
        return _parse_body(data)
    try:
        return parse_form(data, content_type)
    except FormError as error:
        raise _invalid_form(error) from None


def _parse_body(data: bytes) -> dict[str, Any]:
    if not data.strip():
        message = 'the body is empty: send a JSON object such as {"prompt": "a red fox"}'
        raise InvalidRequest(Problem(None, message, "invalid_json"))
    return parse_json(data)


def part_text(part: Part) -> str:
    """Raises InvalidRequest."""
    try:
        return part.text()
    except FormError as error:
        raise _invalid_form(error) from None


def parse_json(data: bytes, what: str = "the body") -> dict[str, Any]:
    """Stricter than `json.loads`: no NaN, no key given twice, as either hides a mistake. Raises
    InvalidRequest."""

    def invalid(why: str) -> InvalidRequest:
        return InvalidRequest(Problem(None, f"{what} is not valid JSON: {why}", "invalid_json"))

    def refuse_constant(name: str) -> float:
        raise invalid(f"{name} is not a JSON number")

    try:
        body = json.loads(
            data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=refuse_constant
        )
    except json.JSONDecodeError as error:
        raise invalid(f"{error.msg} (line {error.lineno}, column {error.colno})") from None
    except UnicodeDecodeError:
        raise invalid("it is not UTF-8") from None
    # RecursionError: nested too deep. ValueError: a number of thousands of digits.
    except (RecursionError, ValueError):
        raise invalid("too deeply nested, or a number too long") from None
    if not isinstance(body, dict):
        raise InvalidRequest(Problem(None, f"{what} must be a JSON object", "invalid_json"))
    return body


def _form_values(
    parts: Iterable[Part], known: Mapping[str, Allowed], readers: Mapping[str, Any]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for part in parts:
        name = "image" if part.name == "image[]" else part.name
        if name in values:
            said = "one picture, not more" if name in PICTURES else "given twice"
            raise InvalidRequest(Problem(name[:80], f"{name[:80]}: {said}", "invalid_form"))
        if name in PICTURES and part.filename is not None:
            values[name] = part.data
        elif name in readers:
            values[name] = readers[name](part_text(part))
        else:
            text = part_text(part)
            values[name] = json.loads(text) if _is_json(text, known.get(name)) else text
    return values


def _is_json(text: str, allowed: Allowed | None) -> bool:
    """Of a form's text: whether it says a value of that kind."""
    if isinstance(allowed, Flag):
        return text in ("true", "false")
    return isinstance(allowed, Number) and bool(_NUMBER.fullmatch(text))


def _check_headers(raw: RawBody, *types: str) -> Message:
    """The content type, JSON where none is given."""
    coding = raw.content_encoding
    if coding is not None and coding.strip().lower() not in ("", "identity"):
        message = f"the Content-Encoding header must not be there: {shown(coding)} is not decoded"
        raise InvalidRequest(Problem(None, message, "invalid_content_encoding"))
    content_type = Message()
    content_type["content-type"] = JSON if raw.content_type is None else raw.content_type
    try:
        charset = content_type.get_content_charset("utf-8")
        is_utf8 = codecs.lookup(charset).name in ("utf-8", "ascii")
    # Also of RFC 2231's parts of a parameter that can't be put together: a number of thousands of
    # digits, or with some versions of Python one part that has a number and one that hasn't.
    except (LookupError, TypeError, ValueError):
        is_utf8 = False
    if content_type.get_content_type() not in types or not is_utf8:
        raise InvalidRequest(
            Problem(
                None,
                f"the Content-Type header must be {' or '.join(types)} (UTF-8), "
                f"not {shown(raw.content_type)}",
                "invalid_content_type",
            )
        )
    return content_type


def _decode(raw: RawBody, max_bytes: int) -> bytes:
    # Four base64 characters carry three bytes; checked first so that nothing huge is decoded.
    if len(raw.text) > (max_bytes * 4 // 3 + 4 if raw.is_base64 else max_bytes):
        raise _too_large(max_bytes)
    try:
        data = base64.b64decode(raw.text, validate=True) if raw.is_base64 else raw.text.encode()
    except (binascii.Error, ValueError):
        message = "the body is not valid: it could not be decoded"
        raise InvalidRequest(Problem(None, message, "invalid_json")) from None
    if len(data) > max_bytes:
        raise _too_large(max_bytes)
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidRequest(Problem(twice[:80], f"{twice[:80]}: given twice", "invalid_json"))
    return body


def _invalid_form(error: FormError) -> InvalidRequest:
    return InvalidRequest(Problem(None, str(error), "invalid_form"))


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        Problem(None, f"the body may have at most {max_bytes} bytes", "body_too_large")
    )
