"""The context's values as one tree, and the names in it that set nothing."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from stacks.settings.problems import Problem
from stacks.settings.reading import MOVED

# Context values that are no settings themselves.
WHOLE = ("profile", "profiles")
# Settings that went, and what has taken their place.
GONE = {"compile.sdk": "kinds.neuron.base_image"}


def merge(context: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The raw settings: `sd` < `profiles[profile]` < dotted `sd.…` keys of the context."""
    raw = _copy(context.get("sd"))
    profile = context.get("profile")
    if profile is not None:
        profiles = context.get("profiles") or {}
        if profile in profiles:
            raw = overlaid(raw, _copy(profiles[profile]))
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


def overlaid(raw: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`raw` with the values of `over`, object by object."""
    found = dict(raw)
    for name, value in over.items():
        inner = found.get(name)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            value = overlaid(inner, value)
        found[name] = value
    return found


def stray_problems(
    context: Mapping[str, Any],
    raw: Mapping[str, Any],
    sections: Collection[str],
    paths: Collection[str],
) -> list[Problem]:
    """What is a setting's name written otherwise, and so sets nothing: keys of the context
    ("g5.steps", "SD.g5.steps", "sd_g5_steps", "steps") and sections that there aren't
    ("sd.g5.steps"). `sections` are those of "sd", `paths` all settings without their "sd.".

    Other keys pass: CDK's own ("@aws-cdk/…", "aws:cdk:…", what it looked up), and those for other
    apps in ~/.cdk.json.
    """
    known = _spellings(paths)
    parts_known = {"sd", *(part for path in paths for part in path.split(".")[:-1])}
    problems = []
    for key, value in context.items():
        if key in ("sd", *WHOLE) or key.startswith(("sd.", "@")):
            continue
        meant = known.get(_letters(key), [])
        parts = re.split(r"[^a-z0-9]+", key.lower())
        if not meant and parts[0] in parts_known:
            meant = _closest(key if parts[0] == "sd" else f"sd.{key}", known)
        if meant:
            problems.append(_no_such(key, value, meant))
    for name, inner in raw.items():
        if name not in sections:
            problems += [
                _no_such(key, value, known.get(_letters(key)) or _closest(key, known))
                for key, value in _leaves(f"sd.{name}", inner)
            ]
    return problems


def _no_such(key: str, value: object, meant: list[str]) -> Problem:
    shown = " | ".join(meant[:3]) + (" | …" if meant[3:] else "")
    return Problem(key, value, f"no such setting; did you mean {shown}?")


def _spellings(paths: Collection[str]) -> dict[str, list[str]]:
    """What may have been meant, by the letters of what was written: each setting's name without its
    first parts, with or without "sd.", and each section's."""
    written: dict[str, list[str]] = {_letters(name): [name] for name in ("sd", *WHOLE)}

    def add(name: str, path: str) -> None:
        meant = written.setdefault(_letters(name), [])
        if f"sd.{path}" not in meant:
            meant.append(f"sd.{path}")

    # Each as it is, and as it was called before it went into a section.
    moved = [
        (path.removesuffix(now) + before, path)
        for before, now in MOVED.items()
        for path in paths
        if path.endswith(f".{now}")
    ]
    for name, path in (*((path, path) for path in paths), *moved):
        parts = name.split(".")
        ends = [".".join(parts[start:]) for start in range(len(parts))]
        if parts[0] == "models":
            ends.append(f"model.{parts[-1]}")
        for end in ends:
            add(end, path)
            add(f"sd.{end}", path)
        for section in parts[:-1]:
            add(section, path)
    for name, path in GONE.items():
        add(f"sd.{name}", path)
    return written


def _closest(key: str, known: Mapping[str, list[str]]) -> list[str]:
    near = get_close_matches(_letters(key), known, n=1)
    return [meant for close in near for meant in known[close]] or ["sd.…"]


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}", inner)
    else:
        yield path, value


def _letters(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _copy(raw: object) -> dict[str, Any]:
    copied = json.loads(json.dumps(raw if raw is not None else {}))
    return copied if isinstance(copied, dict) else {}
