"""Reads a tree of raw context values into frozen dataclasses, collecting every mistake.

A setting is a dataclass field made with `setting(rule)`. A `Rule` turns one raw value into a
typed one and says which values it allows. Values typed on the command line (`-c sd.g5.steps=30`)
arrive as text, so every rule takes its text form as well.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One mistake: `setting` is its dotted name, `allowed` what would be right."""

    setting: str
    value: object
    allowed: str

    def __str__(self) -> str:
        shown = "missing" if self.value is MISSING else json.dumps(self.value, default=str)
        return f"{self.setting}: {shown}; allowed: {self.allowed}"


class SettingsError(ValueError):
    """Every mistake in the settings at once."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        super().__init__(
            f"{count} in the settings (cdk.json, or -c on the command line):\n"
            + "\n".join(f"  - {problem}" for problem in problems)
        )


MISSING = object()


@dataclass(frozen=True)
class Rule:
    """`parse` raises ValueError or TypeError for a value that isn't allowed."""

    allowed: str
    parse: Callable[[Any], Any]


def setting(rule: Rule) -> Any:
    """A dataclass field read by `read_section`."""
    return field(metadata={"rule": rule})


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


def merge(context: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The raw settings: `sd` < `profiles[profile]` < dotted `sd.…` keys of the context."""
    raw = _copy(context.get("sd"))
    profile = context.get("profile")
    if profile is not None:
        profiles = context.get("profiles") or {}
        if profile in profiles:
            _overlay(raw, profiles[profile])
        else:
            problems.append(Problem("profile", profile, " | ".join(profiles) or "none is defined"))
    for key, value in context.items():
        if key.startswith("sd."):
            *sections, name = key.removeprefix("sd.").split(".")
            target = raw
            for section in sections:
                inner = target.setdefault(section, {})
                if not isinstance(inner, dict):
                    problems.append(Problem(key, value, f"no such setting: {section} has no parts"))
                    break
                target = inner
            else:
                target[name] = value
    return raw


def stray_problems(context: Mapping[str, Any], paths: Collection[str]) -> list[Problem]:
    """Keys of the context that are a setting's name written otherwise, and so set nothing:
    "g5.steps", "SD.g5.steps", "sd_g5_steps", "steps". `paths` are all settings without their "sd.".

    Other keys pass: CDK's own ("@aws-cdk/…", "aws:cdk:…", what it looked up), and those for other
    apps in ~/.cdk.json.
    """
    written: dict[str, list[str]] = {_letters(name): [name] for name in ("sd", *WHOLE)}
    for path in paths:
        for name in {f"sd.{path}", path, path.split(".")[-1], *path.split(".")[:-1]}:
            written.setdefault(_letters(name), []).append(f"sd.{path}")
    sections = {path.split(".")[0] for path in paths if "." in path}
    problems = []
    for key, value in context.items():
        if key in ("sd", *WHOLE) or key.startswith(("sd.", "@")):
            continue
        parts = re.split(r"[^a-z0-9]+", key.lower())
        near = written.get(_letters(key), [])
        if not near and parts[0] in ("sd", *sections):
            whole = _letters(key if parts[0] == "sd" else f"sd.{key}")
            near = [n for close in get_close_matches(whole, written, n=1) for n in written[close]]
            near = near or ["sd.…"]
        if near:
            shown = " | ".join(near[:3]) + (" | …" if near[3:] else "")
            problems.append(Problem(key, value, f"no such setting; did you mean {shown}?"))
    return problems


# Context values that are no settings themselves.
WHOLE = ("profile", "profiles")


def _letters(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def read_section(
    section: Callable[..., T],
    raw: object,
    path: str,
    problems: list[Problem],
    others: Collection[str] = (),
    **given: Any,
) -> T | None:
    """An instance of the dataclass, or None where `problems` got longer.

    `given` are fields that don't come from the context (a variant's own name, say); `others` are
    names beside the fields that may have been meant.
    """
    if not isinstance(raw, Mapping):
        problems.append(Problem(path, MISSING if raw is None else raw, "an object"))
        return None
    rules: dict[str, Rule] = {
        item.name: item.metadata["rule"]
        for item in fields(cast(Any, section))
        if "rule" in item.metadata
    }
    before = len(problems)
    for name in raw:
        if name not in rules:
            near = get_close_matches(name.lower(), (*rules, *others), n=1)
            hint = f"no such setting; did you mean {path}.{near[0]}?" if near else "no such setting"
            problems.append(Problem(f"{path}.{name}", raw[name], hint))
    values = dict(given)
    for name, rule in rules.items():
        if name not in raw:
            problems.append(Problem(f"{path}.{name}", MISSING, rule.allowed))
            continue
        try:
            values[name] = rule.parse(raw[name])
        except (TypeError, ValueError):
            problems.append(Problem(f"{path}.{name}", raw[name], rule.allowed))
    return section(**values) if len(problems) == before else None


def _copy(raw: object) -> dict[str, Any]:
    copied = json.loads(json.dumps(raw if raw is not None else {}))
    return copied if isinstance(copied, dict) else {}


def _overlay(raw: dict[str, Any], over: Mapping[str, Any]) -> None:
    for name, value in over.items():
        if isinstance(value, Mapping) and isinstance(raw.get(name), dict):
            _overlay(raw[name], value)
        else:
            raw[name] = value
