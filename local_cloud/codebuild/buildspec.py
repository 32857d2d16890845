"""A buildspec as the app's builds have it: JSON, version 0.2, commands by phase.

https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PHASES = ("install", "build", "post_build")
Buildspec = Mapping[str, Sequence[str]]
"""The commands of each of PHASES."""

# `exit` in a command ends the shell, and the phase with it, as it does on CodeBuild.
COMMAND = """
echo "[Container] Running command "{line}
printf %s {line} > {failed}
eval {line} || exit
"""


class BuildspecError(Exception):
    """The buildspec is not one that can run here; the message says where."""


def parse_buildspec(text: str) -> Buildspec:
    """BuildspecError for anything but a version 0.2 buildspec of known keys."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BuildspecError(f"YAML_FILE_ERROR: only JSON can be had here: {error}") from error
    _only(document, {"version", "env", "phases"}, "buildspec")
    if document.get("version") != "0.2":
        raise BuildspecError("YAML_FILE_ERROR: the buildspec's version must be 0.2")
    _only(document.get("env") or {}, {"shell"}, "env")
    phases = document.get("phases") or {}
    _only(phases, set(PHASES), "phases")
    return {name: _commands(name, phases.get(name) or {}) for name in PHASES}


def script(commands: Sequence[str], failed: Path) -> str:
    """A phase in bash. The command that ends it is left in the file `failed`."""
    note = shlex.quote(str(failed))
    lines = (COMMAND.format(line=shlex.quote(line), failed=note) for line in commands)
    return "".join([*lines, f"rm -f {note}"])


def _commands(name: str, phase: Any) -> Sequence[str]:
    _only(phase, {"commands", "runtime-versions"}, f"phases.{name}")
    commands = phase.get("commands", [])
    if not isinstance(commands, list) or not all(isinstance(line, str) for line in commands):
        raise BuildspecError(f"YAML_FILE_ERROR: phases.{name} must list its commands as strings")
    return commands


def _only(found: Any, known: set[str], where: str) -> None:
    if not isinstance(found, dict):
        raise BuildspecError(f"YAML_FILE_ERROR: {where} is no object")
    if unknown := sorted(set(found) - known):
        raise BuildspecError(f"YAML_FILE_ERROR: {where} has {', '.join(unknown)}, unknown here")
