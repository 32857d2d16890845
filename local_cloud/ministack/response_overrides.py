"""The part of API Gateway's mapping templates (VTL) that CDK's preflights are written in: variables
from request headers, comparisons, and response headers that are set."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SET = re.compile(r"#set\(\$([\w.-]+) = (.+)\)")
_IF = re.compile(r"#if\((.+)\)")
_TEXT = re.compile(r'"(.*)"')
_HEADER = re.compile(r'\$input\.params\(\)\.header\.get\("([\w-]+)"\)')
_OVERRIDE = "context.responseOverride.header."


def overridden_headers(template: str, request_headers: Mapping[str, str]) -> dict[str, str]:
    """Raises ValueError for a line of another kind, and KeyError for an unknown variable."""
    variables: dict[str, str] = {}
    holds: list[bool] = []

    def value(term: str) -> str:
        if text := _TEXT.fullmatch(term):
            return text[1]
        if header := _HEADER.fullmatch(term):
            return request_headers.get(header[1], "")
        return variables[term.removeprefix("$")]

    def equal(comparison: str) -> bool:
        one, other = comparison.split(" == ")
        return value(one) == value(other)

    for line in filter(None, map(str.strip, template.splitlines())):
        if line == "#end":
            holds.pop()
        elif condition := _IF.fullmatch(line):
            holds.append(all(holds) and any(map(equal, condition[1].split(" || "))))
        elif assignment := _SET.fullmatch(line):
            if all(holds):
                variables[assignment[1]] = value(assignment[2])
        else:
            raise ValueError(f"the local cloud can't read this of a mapping template: {line}")
    return {
        name.removeprefix(_OVERRIDE): text
        for name, text in variables.items()
        if name.startswith(_OVERRIDE)
    }
