"""Requests checked against the service model that botocore carries, and answers in its form.

The model holds each API's required members, types, ranges, patterns and enums, so a template that
AWS would refuse is refused here, in the words AWS uses.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session

_NUMBERS = ("integer", "long", "float", "double")
_TYPES: dict[str, Any] = {
    **dict.fromkeys(_NUMBERS, (int, float)),
    "structure": dict,
    "map": dict,
    "list": list,
    "boolean": bool,
    "string": str,
}
_BOUNDS = (("min", operator.lt, "greater"), ("max", operator.gt, "less"))


class BadRequest(Exception):
    """An AWS error: `code`, HTTP `status`, and the message."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@functools.cache
def service_model(service: str) -> Any:
    """botocore's model of a service, e.g. "sagemaker"."""
    return botocore.session.Session().get_service_model(service)


def input_shape(service: str, operation: str) -> Any:
    return service_model(service).operation_model(operation).input_shape


def check_request(service: str, operation: str, request: Mapping[str, Any]) -> None:
    """Raise BadRequest(ValidationException) with every constraint that `request` breaks."""
    check_shape(input_shape(service, operation), request)


def check_shape(shape: Any, value: Mapping[str, Any]) -> None:
    """As `check_request`, for any of a service model's shapes."""
    problems = list(_problems(shape, value, ""))
    if problems:
        noun = "error" if len(problems) == 1 else "errors"
        raise BadRequest(
            "ValidationException",
            f"{len(problems)} validation {noun} detected: {'; '.join(problems)}",
        )


def coerced_to(shape: Any, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Template properties as API input: numbers and booleans may be strings in a template.

    BadRequest names a property that the structure does not have, as CloudFormation does.
    """
    result: dict[str, Any] = _coerce(shape, properties, "#")
    return result


def output_members(service: str, operation: str) -> frozenset[str]:
    """The members an operation's answer may have."""
    return frozenset(service_model(service).operation_model(operation).output_shape.members)


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind, metadata = shape.type_name, shape.metadata
    number = kind in _NUMBERS
    if not isinstance(value, _TYPES.get(kind, object)) or (number and isinstance(value, bool)):
        yield _problem(value, path, f"Member must be a {'number' if number else kind}")
        return
    if number or kind in ("list", "map", "string"):
        size, measured = (value, "value") if number else (len(value), "length")
        for name, beyond, relation in _BOUNDS:
            if name in metadata and beyond(size, metadata[name]):
                bound = f"Member must have {measured} {relation} than or equal to {metadata[name]}"
                yield _problem(value, path, bound)
    if kind == "structure":
        for name in shape.required_members:
            if value.get(name) is None:
                yield f"Value null at '{_join(path, name)}' failed to satisfy constraint: " \
                    "Member must not be null"  # fmt: skip
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _problems(member, value[name], _join(path, name))
    elif kind == "list":
        for position, item in enumerate(value, 1):
            yield from _problems(shape.member, item, f"{path}.{position}.member")
    elif kind == "map":
        for name, item in value.items():
            yield from _problems(shape.key, name, f"{path} map key")
            yield from _problems(shape.value, item, f"{path}.{name}")
    elif kind == "string":
        if "enum" in metadata and value not in metadata["enum"]:
            allowed = ", ".join(metadata["enum"])
            yield _problem(value, path, f"Member must satisfy enum value set: [{allowed}]")
        pattern = metadata.get("pattern")
        if pattern and not _matches(pattern, value):
            constraint = f"Member must satisfy regular expression pattern: {pattern}"
            yield _problem(value, path, constraint)


# Java's classes that Python's re lacks, as what goes between brackets.
_CLASSES = {
    "\\p{ASCII}": "\\x00-\\x7f",
    "\\p{Alnum}": "a-zA-Z0-9",
    "\\p{Print}": "\\x20-\\x7e",
    "\\p{L}": "\\w",
    # Of the commonest blocks.
    "\\p{M}": "\\u0300-\\u036f",
    "\\p{P}": "!-/:-@\\[-`{-~\\u00a1-\\u00bf\\u2010-\\u205e\\u3001-\\u303f",
    "\\p{S}": "$+<=>\\^`|~\\u00a2-\\u00b4\\u20a0-\\u2bff",
    "\\p{N}": "\\d",
    "\\p{Z}": "\\s",
}
# Java's way to write what takes two of its characters, and Python's.
_BEYOND_16_BITS = (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """A Java pattern for Python; None for one that has no equal here, which then checks nothing."""
    python, in_brackets = "", False
    # Of each group that is open: how many more it ends with it. Java's flag in the midst of one
    # holds until its end.
    ends = [0]
    pattern = pattern.replace(*_BEYOND_16_BITS)
    for part in re.findall(r"\\p\{\w+\}|\\.|\(\?i\)|.", pattern, re.DOTALL):
        if part in _CLASSES:
            python += _CLASSES[part] if in_brackets else f"[{_CLASSES[part]}]"
            continue
        if part in "[]":
            in_brackets = part == "["
        if not in_brackets:
            if part == "(?i)":
                ends[-1] += 1
                part = "(?i:"
            elif part == "(":
                ends.append(0)
            elif part == ")":
                part *= 1 + ends.pop()
        python += "\\Z" if part == "\\z" else part
    python += ")" * ends[0]
    try:
        return re.compile(python)
    except re.error:
        return None


def pattern_is_checked(pattern: str) -> bool:
    """False where it can't be put into Python's words, so that any value passes."""
    return _compiled(pattern) is not None


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


def _problem(value: Any, path: str, constraint: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


def _join(path: str, name: str) -> str:
    # AWS writes members with a small first letter: "productionVariants.1.member.modelName".
    name = name[0].lower() + name[1:]
    return f"{path}.{name}" if path else name


def _coerce(shape: Any, value: Any, path: str) -> Any:
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        unknown = sorted(set(value) - set(shape.members))
        if unknown:
            raise BadRequest(
                "ValidationException",
                f"Properties validation failed with message: {path}: extraneous key "
                f"[{unknown[0]}] is not permitted",
            )
        return {
            name: _coerce(shape.members[name], item, f"{path}/{name}")
            for name, item in value.items()
        }
    if kind == "list" and isinstance(value, list):
        return [_coerce(shape.member, item, f"{path}/{n}") for n, item in enumerate(value)]
    if kind == "map" and isinstance(value, dict):
        return {name: _coerce(shape.value, item, path) for name, item in value.items()}
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    if kind in _NUMBERS and isinstance(value, str):
        try:
            return int(value) if kind in ("integer", "long") else float(value)
        except ValueError:
            return value
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value
