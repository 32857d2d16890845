"""A buildspec as the app's builds have it: JSON, version 0.2, bash, commands in one phase.

https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

# `exit` in a command ends the shell, and the phase with it, as it does on CodeBuild.
COMMAND = """
echo "[Container] Running command "{line}
printf %s {line} > {note}
eval {line} || exit
"""


class BuildspecError(Exception):
    """The buildspec is not one that can run here."""


def build_commands(text: str) -> Sequence[str]:
    """Of the build phase. BuildspecError where there is anything else that would do something."""
    try:
        document = json.loads(text)
        idle = document["phases"].pop("install", {}).keys() <= {"runtime-versions"}
        commands: list[str] = document["phases"]["build"]["commands"]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BuildspecError(f"YAML_FILE_ERROR: no JSON with a build phase: {error!r}") from error
    phases = {"build": {"commands": [str(line) for line in commands]}}
    if not idle or document != {"version": "0.2", "env": {"shell": "bash"}, "phases": phases}:
        raise BuildspecError(
            "YAML_FILE_ERROR: only version 0.2 for bash, runtime-versions and the build phase's "
            "commands can be had here"
        )
    return commands


def script(commands: Sequence[str], note: Path) -> str:
    """A phase in bash. The command that is run is in the file `note`."""
    quoted = shlex.quote(str(note))
    return "".join(COMMAND.format(line=shlex.quote(line), note=quoted) for line in commands)
