"""Mistakes in the settings, all of them at once, and what only AWS can tell."""

import json
from dataclasses import dataclass

MISSING = object()


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
        # A default of a kind is wrong for each of its variants.
        self.problems = tuple({str(problem): problem for problem in problems}.values())
        count = "1 mistake" if len(self.problems) == 1 else f"{len(self.problems)} mistakes"
        super().__init__(
            f"{count} in the settings (cdk.json, or -c on the command line):\n"
            + "\n".join(f"  - {problem}" for problem in self.problems)
        )


@dataclass(frozen=True)
class Notice:
    """What AWS may refuse, as far as a dated table can tell: a warning of the synthesis, under
    `id`, at the stack of `variant`."""

    id: str
    variant: str
    text: str
