"""The request's bytes → a JSON object, or an error that says what is wrong with them."""

import base64
import binascii
import json
from dataclasses import dataclass
from email.message import Message
from typing import Any

from front_door.errors import BodyTooLarge, InvalidRequest
from sd_contract.fields import Problem


@dataclass(frozen=True)
class RawBody:
    """As the gateway hands it over: `text` may be base64 of what the client sent."""

    text: str
    is_base64: bool
    content_type: str | None


def parse_body(raw: RawBody, max_bytes: int) -> dict[str, Any]:
    """Raises BodyTooLarge, or InvalidRequest unless the body is one JSON object.

    Stricter than `json.loads`: no NaN, no key given twice, as either hides a mistake.
    """
    _check_content_type(raw.content_type)
    data = _decode(raw, max_bytes)
    if not data.strip():
        raise _invalid('the body is empty: send a JSON object such as {"prompt": "a red fox"}')
    try:
        body = json.loads(
            data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        raise _invalid(
            f"the body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    except UnicodeDecodeError:
        raise _invalid("the body is not valid JSON: it is not UTF-8") from None
    # RecursionError: nested too deep. ValueError: a number of thousands of digits.
    except (RecursionError, ValueError):
        raise _invalid(
            "the body is not valid JSON: too deeply nested, or a number too long"
        ) from None
    if not isinstance(body, dict):
        raise _invalid("the body must be a JSON object")
    return body


def _check_content_type(header: str | None) -> None:
    if header is None:
        return
    message = Message()
    message["content-type"] = header
    charset = message.get_content_charset("utf-8")
    if message.get_content_type() != "application/json" or charset not in ("utf-8", "us-ascii"):
        raise InvalidRequest(
            Problem(
                None,
                "the Content-Type header must be application/json (UTF-8), "
                f"not {message.get_content_type()[:80]!r}",
                "invalid_content_type",
            )
        )


def _decode(raw: RawBody, max_bytes: int) -> bytes:
    # Four base64 characters carry three bytes; checked first so that nothing huge is decoded.
    if len(raw.text) > (max_bytes * 4 // 3 + 4 if raw.is_base64 else max_bytes):
        raise _too_large(max_bytes)
    try:
        data = base64.b64decode(raw.text, validate=True) if raw.is_base64 else raw.text.encode()
    except (binascii.Error, ValueError):
        raise _invalid("the body is not valid: it could not be decoded") from None
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


def _refuse_constant(name: str) -> float:
    raise _invalid(f"the body is not valid JSON: {name} is not a JSON number")


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(Problem(None, message, "invalid_json"))


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        Problem(None, f"the body may have at most {max_bytes} bytes", "body_too_large")
    )
