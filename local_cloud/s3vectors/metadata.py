"""What a vector's metadata may be, and filters over it (Amazon S3 user guide, s3-vectors-metadata-
filtering and s3-vectors-limitations)."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from local_cloud.api_shapes import BadRequest
from local_cloud.s3vectors.vectors import Matches, Metadata

MAX_KEYS = 50
MAX_FILTERABLE_BYTES = 2048
MAX_BYTES = 40 * 1024

Test = Callable[[Any], bool]
"""Of a key's value, which is there."""


def invalid(message: str) -> BadRequest:
    """To be raised."""
    return BadRequest("ValidationException", message)


def metadata_problem(metadata: Metadata, not_filterable: Collection[str]) -> str | None:
    """Why it can't be a vector's. AWS's words for what is too much (run-llama/llama_index#19522,
    langchain-ai/langchain-aws#693); that it counts the bytes of compact JSON is an assumption."""
    if len(metadata) > MAX_KEYS:
        return f"Metadata object must have at most {MAX_KEYS} keys"
    for name, value in metadata.items():
        if not all(_primitive(each) for each in (value if isinstance(value, list) else [value])):
            return f"Metadata value of '{name}' must be a string, number, boolean or a list of them"
    filterable = {name: each for name, each in metadata.items() if name not in not_filterable}
    if _bytes(filterable) > MAX_FILTERABLE_BYTES:
        return f"Filterable metadata must have at most {MAX_FILTERABLE_BYTES} bytes"
    if _bytes(metadata) > MAX_BYTES:
        return f"Metadata must have at most {MAX_BYTES} bytes"
    return None


def _bytes(metadata: Metadata) -> int:
    return len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())


def _primitive(value: Any) -> bool:
    return isinstance(value, str | int | float)


def matching(condition: Any, not_filterable: Collection[str]) -> Matches:
    """A QueryVectors filter as a question about metadata; BadRequest where it is none."""
    if not isinstance(condition, Mapping) or not condition:
        raise invalid("Invalid filter: it must be a JSON object that isn't empty")
    return _all([_part(name, value, not_filterable) for name, value in condition.items()])


def _part(name: str, value: Any, not_filterable: Collection[str]) -> Matches:
    if name in ("$and", "$or"):
        if not isinstance(value, list) or not value:
            raise invalid(f"Invalid filter: {name} needs a list of filters that isn't empty")
        parts = [matching(each, not_filterable) for each in value]
        if name == "$and":
            return _all(parts)
        return lambda metadata: any(part(metadata) for part in parts)
    if name.startswith("$"):
        raise invalid(f"Invalid filter: unknown operator {name}")
    if name in not_filterable:
        raise invalid(f"Invalid filter: '{name}' is a non-filterable metadata key of this index")
    tests = value if isinstance(value, Mapping) else {"$eq": value}
    if not tests:
        raise invalid(f"Invalid filter: '{name}' has no operator")
    parts = [_asked(name, *_test(which, operand)) for which, operand in tests.items()]
    return _all(parts)


def _asked(name: str, test: Test, without: bool) -> Matches:
    return lambda metadata: test(metadata[name]) if name in metadata else without


def _all(parts: Sequence[Matches]) -> Matches:
    return parts[0] if len(parts) == 1 else lambda metadata: all(part(metadata) for part in parts)


_ORDERS = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


def _test(which: str, operand: Any) -> tuple[Test, bool]:
    """What to ask of a value, and the answer for a vector that has none. Of the latter AWS says
    nothing; it is that of the MongoDB queries whose operators these are."""
    if which == "$exists":
        if not isinstance(operand, bool):
            raise invalid("Invalid filter: $exists needs true or false")
        return lambda _: operand, not operand
    if which in _ORDERS:
        if not _number(operand):
            raise invalid(f"Invalid filter: {which} needs a number")
        compare = _ORDERS[which]
        return lambda value: _number(value) and bool(compare(value, operand)), False
    if which in ("$in", "$nin"):
        if not isinstance(operand, list) or not operand or not all(map(_primitive, operand)):
            raise invalid(
                f"Invalid filter: {which} needs a list of strings, numbers or booleans that isn't"
                " empty"
            )
        wanted = operand
    elif which in ("$eq", "$ne"):
        if not _primitive(operand):
            raise invalid(f"Invalid filter: {which} needs a string, number or boolean")
        wanted = [operand]
    else:
        raise invalid(f"Invalid filter: unknown operator {which}")
    typed = frozenset(map(_typed, wanted))
    if which in ("$ne", "$nin"):
        return lambda value: not _has_one_of(value, typed), True
    return lambda value: _has_one_of(value, typed), False


def _typed(value: Any) -> tuple[bool, Any]:
    # To Python, True is 1.
    return isinstance(value, bool), value


def _has_one_of(value: Any, wanted: Collection[tuple[bool, Any]]) -> bool:
    """An array has one if any of its elements is one."""
    if isinstance(value, list):
        return any(_typed(each) in wanted for each in value)
    return _typed(value) in wanted


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
