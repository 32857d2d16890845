"""A tree of raw context values, read into frozen dataclasses; every mistake is collected."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, fields
from difflib import get_close_matches
from typing import Any, TypeVar, cast

from stacks.settings.problems import MISSING, Problem

T = TypeVar("T")
# Settings that went into a section.
MOVED = {"instance_count": "scaling.min_instances", "steps": "modes.standard.steps"}
# Where a setting below the section stands, for messages: "dtype" → "sd.variants.g5.dtype".
Where = Callable[[str], str]


def below(path: str) -> Where:
    return lambda name: f"{path}.{name}" if name else path


def read_section(
    settings: Callable[..., T],
    raw: object,
    where: Where,
    problems: list[Problem],
    *,
    partly: bool = False,
    **given: Any,
) -> T | None:
    """An instance of the dataclass, or None where `problems` got longer.

    `given` are fields that don't come from the context (a variant's own name, say). `partly` checks
    what is there, without asking for the rest, and gives None.
    """
    if not isinstance(raw, Mapping):
        problems.append(Problem(where(""), MISSING if raw is None else raw, "an object"))
        return None
    known = {
        name_of(item): item
        for item in fields(cast(Any, settings))
        if item.metadata.keys() & {"rule", "section"}
    }
    before = len(problems)
    for name in raw:
        if name not in known:
            near = [MOVED[name]] if name in MOVED else get_close_matches(name.lower(), known, n=1)
            hint = f"; did you mean {where(name).removesuffix(name)}{near[0]}?" if near else ""
            problems.append(Problem(where(name), raw[name], f"no such setting{hint}"))
    values = dict(given)
    for name, item in known.items():
        if inner := item.metadata.get("section"):
            if name in raw or not partly:
                values[item.name] = read_section(
                    inner, raw.get(name), _inside(name, where), problems, partly=partly
                )
            continue
        rule = item.metadata["rule"]
        if name in raw:
            try:
                values[item.name] = rule.parse(raw[name])
            except (TypeError, ValueError):
                problems.append(Problem(where(name), raw[name], rule.allowed))
        elif item.default is NO_DEFAULT and not partly:
            problems.append(Problem(where(name), MISSING, rule.allowed))
    return settings(**values) if len(problems) == before and not partly else None


def _inside(name: str, where: Where) -> Where:
    return lambda inner: where(f"{name}.{inner}" if inner else name)


def name_of(item: Field[Any]) -> str:
    """Of a field's setting: `async_` is "async", which Python keeps for itself."""
    return item.name.removesuffix("_")


def names_of(settings: Callable[..., object]) -> Iterator[str]:
    """Every setting of a section, dotted where it is of one within."""
    for item in fields(cast(Any, settings)):
        if inner := item.metadata.get("section"):
            yield from (f"{name_of(item)}.{name}" for name in names_of(inner))
        elif "rule" in item.metadata:
            yield name_of(item)
