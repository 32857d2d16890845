"""Summaries of latencies and the study's two formulas. Plain Python: figures anyone can check."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Seconds. `half_width` is half the 95 % confidence interval of the mean (normal theory);
    percentiles are numpy's and spreadsheets' (Hyndman and Fan's type 7)."""

    mean: float
    half_width: float
    p50: float
    p90: float
    p99: float


def summarise(values: Sequence[float]) -> Summary | None:
    """None for no values: a variant that answered nothing has no latency, not a latency of 0."""
    if not values:
        return None
    if len(values) == 1:
        return Summary(values[0], 0.0, *[values[0]] * 3)
    percentiles = statistics.quantiles(values, n=100, method="inclusive")
    return Summary(
        mean=statistics.fmean(values),
        half_width=1.96 * statistics.stdev(values) / math.sqrt(len(values)),
        p50=percentiles[49],
        p90=percentiles[89],
        p99=percentiles[98],
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
