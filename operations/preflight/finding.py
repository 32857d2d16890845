"""What a check has found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from operations.account import Unanswered


class Verdict(Enum):
    OK = "ok"
    FAILS = "will fail"
    UNKNOWN = "can't tell"


@dataclass(frozen=True)
class Finding:
    """`found` says what is so; `advice` what to do, never empty where the verdict isn't ok."""

    verdict: Verdict
    subject: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"{self.verdict.value:<10}  {self.subject}: {self.found}"
        return f"{line}\n{'':<12}→ {self.advice}" if self.advice else line


def ok(subject: str, found: str) -> Finding:
    return Finding(Verdict.OK, subject, found)


def fails(subject: str, found: str, advice: str) -> Finding:
    return Finding(Verdict.FAILS, subject, found, advice)


def unknown(subject: str, found: str, advice: str) -> Finding:
    return Finding(Verdict.UNKNOWN, subject, found, advice)


def findings(subject: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Those of `check`; what AWS doesn't answer can't be told."""
    try:
        return list(check())
    except Unanswered as error:
        advice = "let these credentials read it, or look it up in the console"
        return [unknown(subject, str(error), advice)]
