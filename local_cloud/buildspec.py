"""A buildspec, parsed: version 0.2 as CodeBuild documents it, the parts this project may use.

https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

PHASES = ("install", "pre_build", "build", "post_build")
_TOP = {"version", "env", "phases", "artifacts", "cache", "reports", "run-as", "proxy", "batch"}
_PHASE = {"commands", "finally", "on-failure", "runtime-versions", "run-as"}
_ENV = {"shell", "variables", "exported-variables", "git-credential-helper"}


class BuildspecError(Exception):
    """The buildspec is not one that can run here; the message says which line of it."""


@dataclass(frozen=True)
class Phase:
    commands: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    """`finally`: run whether the commands succeeded or not."""
    go_on: bool = False
    """`on-failure: CONTINUE`."""


@dataclass(frozen=True)
class Buildspec:
    phases: Mapping[str, Phase]
    variables: Mapping[str, str]
    exported: tuple[str, ...]


def parse_buildspec(text: str) -> Buildspec:
    """BuildspecError for anything but a version 0.2 buildspec of known keys."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BuildspecError(f"YAML_FILE_ERROR: {error}") from error
    if not isinstance(document, dict) or str(document.get("version")) != "0.2":
        raise BuildspecError("YAML_FILE_ERROR: the buildspec's version must be 0.2")
    _only(document, _TOP, "buildspec")
    env = document.get("env") or {}
    _only(env, _ENV, "env")
    phases = document.get("phases") or {}
    _only(phases, set(PHASES), "phases")
    return Buildspec(
        phases={name: _phase(name, phases.get(name) or {}) for name in PHASES},
        variables={str(k): str(v) for k, v in (env.get("variables") or {}).items()},
        exported=tuple(map(str, env.get("exported-variables") or ())),
    )


def _phase(name: str, raw: Mapping[str, Any]) -> Phase:
    _only(raw, _PHASE, f"phases.{name}")
    on_failure = raw.get("on-failure", "ABORT")
    if on_failure not in ("ABORT", "CONTINUE"):
        raise BuildspecError(
            f"YAML_FILE_ERROR: phases.{name}.on-failure must be ABORT or CONTINUE here"
        )
    return Phase(
        commands=_commands(name, raw.get("commands")),
        always=_commands(name, raw.get("finally")),
        go_on=on_failure == "CONTINUE",
    )


def _commands(name: str, raw: Any) -> tuple[str, ...]:
    commands = [] if raw is None else [raw] if isinstance(raw, str) else raw
    if not isinstance(commands, list) or not all(isinstance(line, str) for line in commands):
        raise BuildspecError(f"YAML_FILE_ERROR: phases.{name} must list its commands as strings")
    return tuple(commands)


def _only(found: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(map(str, found)) - known)
    if unknown:
        raise BuildspecError(f"YAML_FILE_ERROR: {where} has {', '.join(unknown)}, unknown here")
