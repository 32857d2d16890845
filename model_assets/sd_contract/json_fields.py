"""Dataclasses that one side writes as JSON and another reads: what their fields may be."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

Kind = tuple[str, Callable[[Any], Any], Mapping[str, Any]]
"""What a value of some type is in JSON: in words, as a parser that raises TypeError or ValueError,
and as JSON Schema."""


def json_object(text: str | bytes) -> dict[str, Any]:
    """Raises ValueError."""
    try:
        document = json.loads(text)
    except ValueError:
        raise ValueError("is not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("is not a JSON object")
    return document


def read_fields(
    cls: Any, document: Mapping[str, Any], kinds: Mapping[Any, Kind]
) -> tuple[dict[str, Any], list[str]]:
    """The dataclass's arguments, and every mistake; `kinds` by its fields' types. Keys it doesn't
    know are ignored."""
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for item in fields(cls):
        if item.name not in document and item.default is not MISSING:
            continue
        expected, parse, _ = kinds[item.type]
        try:
            values[item.name] = parse(document[item.name])
        except KeyError:
            mistakes.append(f"{item.name} is missing")
        except (TypeError, ValueError):
            mistakes.append(f"{item.name} must be {expected}")
    return values, mistakes


def word(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(value)
    return value


def _positive_int(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise TypeError(value)
    return value


def _amount(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise TypeError(value)
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def or_null(kind: Kind, words: str) -> Kind:
    expected, parse, schema = kind
    return (
        expected + words,
        lambda value: None if value is None else parse(value),
        {**schema, "type": [schema["type"], "null"]},
    )


TEXT: Kind = ("a non-empty string", word, {"type": "string"})
WHOLE: Kind = ("an integer of at least 1", _positive_int, {"type": "integer", "minimum": 1})
AMOUNT: Kind = ("a number of at least 0", _amount, {"type": "number", "minimum": 0})
FLAG: Kind = ("true or false", _flag, {"type": "boolean"})
