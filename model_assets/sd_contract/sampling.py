"""How a picture is denoised, and under which name a request asks for it.

A mode is a name of MODES; what it stands for is a variant's own (`modes` in its settings), so that
a faster way of drawing goes in where it was measured, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sd_contract.fields import QUALITY, STEPS, Allowed, Choice, Number, Whole, read

STANDARD, FAST = MODES = QUALITY.values
"""Every variant has the first, which serves what asks for none."""

LINSPACE, KARRAS, AYS = SIGMAS = ("linspace", "karras", "ays")
"""Where the steps lie between noise and picture. linspace: evenly over the training's time steps,
as diffusers has it. karras: Karras et al. 2022, equation 5 with rho 7. ays: Sabour et al. 2024,
Align Your Steps, the table for Stable Diffusion."""

GUIDANCE_UNTIL = Number(0.0, 1.0)
DEEP_CACHE = Whole(1, 10)
RANGES: Mapping[str, Allowed] = {
    "steps": STEPS,
    "sigmas": Choice(SIGMAS),
    "guidance_until": GUIDANCE_UNTIL,
    "deep_cache": DEEP_CACHE,
}


@dataclass(frozen=True)
class Step:
    """`guided`: with the unconditional half besides. `full`: through the whole UNet, not with the
    deep half of an earlier step."""

    guided: bool
    full: bool

    @property
    def rows(self) -> int:
        """Of a picture, through the UNet."""
        return 2 if self.guided else 1


@dataclass(frozen=True)
class Sampling:
    """DPM-Solver++ 2M in so many steps. `guidance_until` is the share of the steps that guidance
    is done for, from the first on (Kynkäänniemi et al. 2024). `deep_cache`: every how manieth step
    is full (Ma et al. 2023, DeepCache); 1: all are."""

    steps: int
    sigmas: str = LINSPACE
    guidance_until: float = 1.0
    deep_cache: int = 1

    def __post_init__(self) -> None:
        """Raises ValueError with every mistake."""
        _, problems = read(vars(self), RANGES, RANGES)
        if problems:
            raise ValueError("; ".join(problem.message for problem in problems))

    def plan(self, *, guided: bool = True, first: int = 0) -> Iterator[Step]:
        """The steps from `first` on, which is an edit's. A step with fewer rows than the one before
        can't take over that one's deep half, so it is full."""
        until = math.ceil(round(self.steps * self.guidance_until, 6)) if guided else 0
        since = 0
        for number in range(first, self.steps):
            if number == until:
                since = 0
            yield Step(number < until, since % self.deep_cache == 0)
            since += 1

    @property
    def evaluations(self) -> int:
        """Rows through the UNet for a picture with guidance, deep or shallow."""
        return sum(step.rows for step in self.plan())

    @property
    def full_evaluations(self) -> int:
        """Of these, those through the whole UNet."""
        return sum(step.rows for step in self.plan() if step.full)

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @property
    def mean_rows(self) -> float:
        """Of a step."""
        return self.evaluations / self.steps

    @classmethod
    def from_document(cls, document: Any) -> Sampling:
        """Raises ValueError with every mistake, unknown names among them."""
        if not isinstance(document, Mapping):
            raise ValueError("must be an object")
        values, problems = read(document, RANGES, ("steps",))
        if problems:
            raise ValueError("; ".join(problem.message for problem in problems))
        return cls(**values)


def modes_from_document(document: Any) -> Mapping[str, Sampling]:
    """By name, in MODES' order. Raises ValueError."""
    if not isinstance(document, Mapping) or STANDARD not in document or document.keys() - {*MODES}:
        raise ValueError(f"must be an object of {' and '.join(MODES)}; the first is required")
    return {name: Sampling.from_document(document[name]) for name in MODES if name in document}
