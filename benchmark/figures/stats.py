"""Summaries of latencies and the study's two formulas. Plain Python: figures anyone can check."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Seconds. `half_width` is half the 95 % confidence interval of the mean (normal theory)."""

    count: int
    mean: float
    half_width: float
    p50: float
    p90: float
    p99: float
    least: float
    most: float


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of them lie, interpolated linearly between ranks.

    The definition numpy and spreadsheets use by default (Hyndman and Fan's type 7).
    """
    if not values:
        raise ValueError("no values")
    if not 0 <= share <= 1:
        raise ValueError(f"share {share} is outside 0..1")
    ordered = sorted(values)
    rank = share * (len(ordered) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (rank - below) * (ordered[above] - ordered[below])


def summarise(values: Sequence[float]) -> Summary | None:
    """None for no values: a variant that answered nothing has no latency, not a latency of 0."""
    if not values:
        return None
    count = len(values)
    mean = math.fsum(values) / count
    variance = math.fsum((v - mean) ** 2 for v in values) / (count - 1) if count > 1 else 0.0
    return Summary(
        count=count,
        mean=mean,
        half_width=1.96 * math.sqrt(variance / count),
        p50=percentile(values, 0.5),
        p90=percentile(values, 0.9),
        p99=percentile(values, 0.99),
        least=min(values),
        most=max(values),
    )


def cost_per_million(seconds_per_image: float, usd_per_hour: float) -> float:
    """The study's formula: mean latency times the instance's price, a million times over."""
    return seconds_per_image * usd_per_hour / 3600 * 1_000_000


def cost_per_million_at(images_per_second: float, usd_per_hour: float) -> float:
    """What a million images cost on an instance kept at that throughput."""
    return cost_per_million(1 / images_per_second, usd_per_hour)


def change_percent(value: float, reference: float) -> float:
    return (value - reference) / reference * 100


def change_matrix(values: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """matrix[a][b]: by how many per cent b differs from a. The diagonal is left out."""
    return {a: {b: change_percent(values[b], values[a]) for b in values if b != a} for a in values}
