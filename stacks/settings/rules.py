"""What one setting may be.

A setting is a dataclass field made with `setting(rule)`. A `Rule` turns one raw value into a
typed one and says which values it allows. Values typed on the command line
(`-c sd.variants.g5.steps=30`) arrive as text, so every rule takes its text form as well.
"""

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

    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError
        number = int(value)
        if not low <= number <= high:
            raise ValueError
        return number

    return Rule(f"an integer from {low} to {high}", parse)


def number(low: float, high: float) -> Rule:
    """A finite number; both ends belong to the range."""

    def parse(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        parsed = float(value)
        if not low <= parsed <= high:  # NaN fails this too
            raise ValueError
        return parsed

    return Rule(f"a number from {low:g} to {high:g}", parse)


def flag() -> Rule:
    def parse(value: Any) -> bool:
        if isinstance(value, bool):
            return value
        if value not in ("true", "false"):
            raise ValueError
        return bool(value == "true")

    return Rule("true or false", parse)


def one_of(*choices: str) -> Rule:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    return Rule(" | ".join(choices), parse)


def one_of_numbers(*choices: int) -> Rule:
    def parse(value: Any) -> int:
        number = whole(min(choices), max(choices)).parse(value)
        if number not in choices:
            raise ValueError
        return int(number)

    return Rule(" | ".join(map(str, choices)), parse)


def text(pattern: str, allowed: str) -> Rule:
    def parse(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError
        return value

    return Rule(allowed, parse)


def optional(rule: Rule) -> Rule:
    def parse(value: Any) -> Any:
        return None if value in (None, "") else rule.parse(value)

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
