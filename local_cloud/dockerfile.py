"""A Dockerfile, parsed: the instructions that the local cloud can honour without a daemon.

FROM, ARG, ENV, COPY, WORKDIR, LABEL, ENTRYPOINT and CMD (exec form) are carried out, RUN is noted,
EXPOSE, USER, STOPSIGNAL, HEALTHCHECK and SHELL are passed over. Anything else is an error.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PASSED_OVER = ("EXPOSE", "USER", "STOPSIGNAL", "HEALTHCHECK", "SHELL", "MAINTAINER")
CARRIED_OUT = ("FROM", "ARG", "ENV", "COPY", "RUN", "WORKDIR", "ENTRYPOINT", "CMD", "LABEL")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::([-+])([^}]*))?\}|(\w+))")


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
        """ENTRYPOINT and CMD as a list; DockerfileError for the shell form."""
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
        """ENV and LABEL: `A=b C="d e"`, or the old `A b`."""
        try:
            words = shlex.split(self.value)
        except ValueError as error:
            raise self.error(f"{self.name}: {error}") from error
        if words and "=" not in words[0]:
            name, _, value = self.value.partition(" ")
            return {name: value.strip()}
        if not words or not all("=" in word for word in words):
            raise self.error(f"{self.name} needs NAME=value")
        return dict(word.split("=", 1) for word in words)

    def paths(self) -> tuple[tuple[str, ...], str]:
        """COPY: the sources and the destination; flags that change nothing here are dropped."""
        words = self._copy_words()
        while words and words[0].startswith("--"):
            flag = words.pop(0)
            if not flag.startswith(("--chown=", "--chmod=", "--link")):
                raise self.error(f"COPY {flag} can't be done here")
        if len(words) < 2:
            raise self.error("COPY needs a source and a destination")
        return tuple(words[:-1]), words[-1]

    def _copy_words(self) -> list[str]:
        if "[" in self.value and self.value.rstrip().endswith("]"):
            flags, _, rest = self.value.partition("[")
            return [*flags.split(), *json.loads("[" + rest)]
        return self.value.split()


def parse_dockerfile(text: str) -> Iterator[Instruction]:
    """The instructions in order; DockerfileError for what can't be honoured."""
    number, lines = 0, text.splitlines()
    while number < len(lines):
        start = number
        words: list[str] = []
        while number < len(lines):
            line = lines[number].strip()
            number += 1
            if not line or line.startswith("#"):
                if words:
                    continue
                break
            words.append(line.removesuffix("\\").rstrip())
            if not line.endswith("\\"):
                break
        if not words:
            continue
        name, _, value = " ".join(words).partition(" ")
        instruction = Instruction(start + 1, name.upper(), value.strip())
        if instruction.name in PASSED_OVER:
            continue
        if instruction.name not in CARRIED_OUT:
            raise instruction.error(f"{instruction.name} can't be done here")
        if "<<" in value:
            raise instruction.error("here-documents can't be done here")
        yield instruction


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+word}`, as Docker has them."""

    def replace(match: re.Match[str]) -> str:
        name, operator, word = match[1] or match[4], match[2], match[3]
        value = variables.get(name, "")
        if operator == "-":
            return value or word
        if operator == "+":
            return word if value else ""
        return value

    return _VARIABLE.sub(replace, text)
