"""Summaries against distributions whose figures are known in closed form."""

import math

import pytest

from benchmark.figures.stats import Summary, change_matrix, cost_per_million, summarise


def test_uniform() -> None:
    # Highest first: the order doesn't matter. A uniform's standard deviation is 1/√12.
    summary = summarise([i / 1000 for i in range(1000, -1, -1)])
    assert summary is not None
    assert (summary.mean, summary.p50, summary.p90, summary.p99) == pytest.approx(
        (0.5, 0.5, 0.9, 0.99)
    )
    assert summary.half_width == pytest.approx(1.96 / math.sqrt(12 * 1001), rel=2e-3)


def test_percentiles_lie_between_ranks() -> None:
    summary = summarise([1.0, 2.0, 3.0, 4.0])
    assert summary is not None
    assert (summary.p50, summary.p90) == pytest.approx((2.5, 3.7))


def test_one_value_and_none() -> None:
    assert summarise([2.5]) == Summary(2.5, 0.0, 2.5, 2.5, 2.5)
    assert summarise([]) is None


def test_cost_is_latency_times_price() -> None:
    assert cost_per_million(3.6, 1.0) == pytest.approx(1000.0)


def test_matrix_reads_from_row_to_column() -> None:
    matrix = change_matrix({"a": 2.0, "b": 3.0})
    assert matrix == {"a": {"b": 50.0}, "b": {"a": pytest.approx(-100 / 3)}}
