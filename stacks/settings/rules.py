"""What one setting may be.

A setting is a dataclass field made with `setting(rule)`. A `Rule` turns one raw value into a
typed one and says which values it allows. Values typed on the command line
(`-c sd.variants.g5.idle_stop_h=2`) arrive as text, so every rule takes its text form as well.
"""

import json
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Any

# CloudWatch Logs takes no other retention below a year (PutRetentionPolicy).
LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365)


@dataclass(frozen=True)
class Rule:
    """`parse` raises ValueError or TypeError for a value that isn't allowed."""

    allowed: str
    parse: Callable[[Any], Any]


def setting(rule: Rule, default: Any = MISSING) -> Any:
    """A dataclass field read by `read_section`; one with a default may be left out."""
    return field(default=default, metadata={"rule": rule})


def whole(low: int, high: int) -> Rule:
    """An integer; both ends belong to the range."""
    return Rule(f"an integer from {low} to {high}", _within(low, high, int, int | str))


def number(low: float, high: float) -> Rule:
    """A finite number; both ends belong to the range."""
    return Rule(f"a number from {low:g} to {high:g}", _within(low, high, float, int | float | str))


def _within(
    low: float, high: float, make: Callable[[Any], Any], types: Any
) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, types):
            raise TypeError
        parsed = make(value)
        if not low <= parsed <= high:  # NaN fails this too
            raise ValueError
        return parsed

    return parse


def one_of(*choices: Any) -> Rule:
    """Texts, integers, or true and false."""
    spelt = {json.dumps(choice).strip('"'): choice for choice in choices}

    def parse(value: Any) -> Any:
        written = value if isinstance(value, str) else json.dumps(value)
        if written not in spelt:
            raise ValueError
        return spelt[written]

    return Rule(" | ".join(spelt), parse)


def flag() -> Rule:
    return Rule("true or false", one_of(True, False).parse)


def text(pattern: str, allowed: str) -> Rule:
    def parse(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError
        return value

    return Rule(allowed, parse)


def optional(rule: Rule) -> Rule:
    def parse(value: Any) -> Any:
        return None if value in (None, "", []) else rule.parse(value)

    return Rule(f"{rule.allowed}, or empty", parse)


def list_of(rule: Rule) -> Rule:
    """A list without repetitions, not empty; on the command line "a,b"."""

    def parse(value: Any) -> tuple[Any, ...]:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list) or not items:
            raise ValueError
        parsed = tuple(rule.parse(item) for item in items)
        if len(set(parsed)) != len(parsed):
            raise ValueError
        return parsed

    return Rule(f"a list, none twice, each {rule.allowed}", parse)
