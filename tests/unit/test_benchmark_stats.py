"""Summaries against distributions whose figures are known in closed form."""

import math

import pytest

from benchmark.figures.stats import change_matrix, cost_per_million, percentile, summarise


def quantiles_of_exponential(count: int, mean: float) -> list[float]:
    """The distribution's own quantiles at the middles of `count` equal shares: no randomness."""
    return [-mean * math.log(1 - (i + 0.5) / count) for i in range(count)]


def test_uniform() -> None:
    summary = summarise([i / 1000 for i in range(1001)])
    assert summary is not None
    assert summary.mean == pytest.approx(0.5)
    assert (summary.p50, summary.p90, summary.p99) == pytest.approx((0.5, 0.9, 0.99))
    assert (summary.least, summary.most, summary.count) == (0.0, 1.0, 1001)
    # A uniform's standard deviation is 1/√12.
    assert summary.half_width == pytest.approx(1.96 / math.sqrt(12 * 1001), rel=2e-3)


def test_exponential() -> None:
    summary = summarise(quantiles_of_exponential(20_000, mean=2.0))
    assert summary is not None
    assert summary.mean == pytest.approx(2.0, rel=1e-3)
    assert summary.p50 == pytest.approx(2 * math.log(2), rel=1e-3)
    assert summary.p90 == pytest.approx(2 * math.log(10), rel=1e-3)
    assert summary.p99 == pytest.approx(2 * math.log(100), rel=1e-3)


def test_order_and_one_slow_request_do_not_matter_to_the_median() -> None:
    assert percentile([3.0, 1.0, 900.0, 2.0, 4.0], 0.5) == 3.0


def test_percentile_interpolates_between_ranks() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.9) == pytest.approx(3.7)


def test_one_value() -> None:
    summary = summarise([2.5])
    assert summary is not None
    assert (summary.mean, summary.p99, summary.half_width) == (2.5, 2.5, 0.0)


def test_no_values_have_no_summary() -> None:
    assert summarise([]) is None
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
    with pytest.raises(ValueError, match="outside"):
        percentile([1.0], 50)


def test_cost_is_latency_times_price() -> None:
    assert cost_per_million(3.6, 1.0) == pytest.approx(1000.0)


def test_matrix_reads_from_row_to_column() -> None:
    matrix = change_matrix({"a": 2.0, "b": 3.0})
    assert matrix == {"a": {"b": 50.0}, "b": {"a": pytest.approx(-100 / 3)}}
