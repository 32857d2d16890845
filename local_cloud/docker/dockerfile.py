"""A Dockerfile, parsed: the instructions that the local cloud can honour without a daemon.

FROM, ARG, ENV, COPY, WORKDIR and ENTRYPOINT (exec form) are carried out, RUN is noted, USER
is this machine's anyway. Anything else is an error.
"""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template

INSTRUCTIONS = ("FROM", "ARG", "ENV", "COPY", "RUN", "USER", "WORKDIR", "ENTRYPOINT")


class DockerfileError(Exception):
    """What is wrong with the Dockerfile, with its line."""


@dataclass(frozen=True)
class Instruction:
    line: int
    name: str
    value: str

    def error(self, message: str) -> DockerfileError:
        return DockerfileError(f"Dockerfile:{self.line}: {message}")

    def exec_form(self) -> tuple[str, ...]:
        """ENTRYPOINT as a list; DockerfileError for the shell form."""
        try:
            words = json.loads(self.value)
        except ValueError:
            words = None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise self.error(
                f'{self.name} needs the exec form: {self.name} ["program", "argument"]'
            )
        return tuple(words)

    def pairs(self) -> dict[str, str]:
        """ENV: `A=b C="d e"`."""
        try:
            words = shlex.split(self.value)
        except ValueError as error:
            raise self.error(f"{self.name}: {error}") from error
        if not words or not all("=" in word for word in words):
            raise self.error(f"{self.name} needs NAME=value")
        return dict(word.split("=", 1) for word in words)

    def paths(self) -> tuple[list[str], str]:
        """COPY: the sources and the destination."""
        words = self.value.split()
        if self.value.startswith(("--", "[")) or "*" in self.value:
            raise self.error(f"COPY {words[0]} can't be done here")
        if len(words) < 2:
            raise self.error("COPY needs a source and a destination")
        return words[:-1], words[-1]


def parse_dockerfile(text: str) -> Iterator[Instruction]:
    """The instructions in order; DockerfileError for what can't be honoured."""
    begin, words = 0, list[str]()
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("#") or not line:
            continue
        begin = begin if words else number
        words.append(line.removesuffix("\\").rstrip())
        if line.endswith("\\"):
            continue
        name, _, value = " ".join(words).partition(" ")
        words.clear()
        instruction = Instruction(begin, name.upper(), value.strip())
        if instruction.name not in INSTRUCTIONS:
            raise instruction.error(f"{instruction.name} can't be done here")
        if "<<" in value:
            raise instruction.error("here-documents can't be done here")
        yield instruction


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$NAME` and `${NAME}`, as Docker has them."""
    return Template(text).safe_substitute(defaultdict(str, variables))
