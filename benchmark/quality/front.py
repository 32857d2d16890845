"""Which settings nothing beats, and which of them the modes should stand for."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.errors import BenchmarkError
from benchmark.quality.measure import Measured
from benchmark.quality.settings import BASELINE, name_of
from sd_contract.sampling import FAST, STANDARD

FAST_SHARE = 0.20
MARGIN = {"all right": 0.01, "CLIP score": 0.25}
"""By how much a mean score may be lower and count as no worse: 2 of 200 pictures; a hundredth of
CLIP scores as they are for pictures that fit."""


def front(measured: Sequence[Measured]) -> list[Measured]:
    """Those that no other one beats in work or in the median of dB, being no worse in the other; by
    rising work."""

    def beaten(one: Measured) -> bool:
        return any(
            other.share <= one.share
            and other.db_median >= one.db_median
            and (other.share, other.db_median) != (one.share, one.db_median)
            for other in measured
        )

    return sorted((one for one in measured if not beaten(one)), key=lambda one: one.share)


@dataclass(frozen=True)
class Advice:
    """`fast` is None where nothing that was measured will do."""

    standard: Measured
    fast: Measured | None

    def by_mode(self) -> dict[str, Measured]:
        return {STANDARD: self.standard, **({FAST: self.fast} if self.fast else {})}


def advise(measured: Sequence[Measured]) -> Advice:
    """`standard`: the least work that is no worse than BASELINE in its scores, the median and the
    5th percentile of dB. `fast`: at most FAST_SHARE of the study's work, scores no worse than
    standard's, and of these the nearest by the median of dB. Raises BenchmarkError where BASELINE
    wasn't measured.
    """
    baseline = next((one for one in measured if one.sampling == BASELINE), None)
    if baseline is None:
        raise BenchmarkError(f"{name_of(BASELINE)} is not among those measured")
    standard = min(
        (
            one
            for one in measured
            if _scores_as(one, baseline)
            and one.db_median >= baseline.db_median
            and one.db_p5 >= baseline.db_p5
        ),
        key=lambda one: (one.share, -one.db_median),
    )
    fast = max(
        (one for one in measured if one.share <= FAST_SHARE and _scores_as(one, standard)),
        key=lambda one: one.db_median,
        default=None,
    )
    return Advice(standard, fast)


def _scores_as(one: Measured, other: Measured) -> bool:
    # A sum of floats is not to decide.
    return all(
        one.scores[name] >= other.scores[name] - margin - 1e-9
        for name, margin in MARGIN.items()
        if name in other.scores
    )
