"""CloudWatch's alarms as the local cloud has them: what counts, and when it is known."""

from __future__ import annotations

from typing import Any

import pytest

from local_cloud.ministack.alarms import check_kind, evaluated_state

MINUTE = 60.0
ALARM: dict[str, Any] = {
    "Period": 60,
    "EvaluationPeriods": 1,
    "Statistic": "Sum",
    "Threshold": 3.0,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "TreatMissingData": "notBreaching",
}
# Far from the epoch, at the begin of a minute.
START = 1_000_000 * MINUTE


def points(*per_minute: float | None) -> list[dict[str, Any]]:
    """One in each minute from START on; None leaves it out."""
    return [
        {"Timestamp": START + number * MINUTE + 1, "Value": value}
        for number, value in enumerate(per_minute)
        if value is not None
    ]


def state(*per_minute: float | None, minutes: float, second: float = 1.0, **alarm: Any) -> str:
    """That many minutes after START."""
    shortened = [
        {**point, "Timestamp": point["Timestamp"] * second} for point in points(*per_minute)
    ]
    now = (START + minutes * MINUTE) * second
    return evaluated_state({**ALARM, **alarm}, shortened, now, second)


@pytest.mark.parametrize(("minutes", "known"), [(0.5, "OK"), (2.9, "OK"), (3, "ALARM")])
def test_a_minute_counts_when_it_is_over_and_has_arrived(minutes: float, known: str) -> None:
    assert state(5, minutes=minutes) == known


def test_a_shorter_second_makes_everything_as_much_shorter() -> None:
    for second in (1.0, 0.01):
        assert state(5, minutes=2.9, second=second) == "OK"
        assert state(5, minutes=3, second=second) == "ALARM"


def test_errors_of_two_minutes_do_not_add_up() -> None:
    assert state(2, 2, minutes=4) == "OK"


def test_every_evaluation_period_has_to_breach() -> None:
    assert state(5, 0, minutes=4, EvaluationPeriods=2) == "OK"
    assert state(5, 5, minutes=4, EvaluationPeriods=2) == "ALARM"


def test_minutes_without_data_breach_nothing() -> None:
    assert state(minutes=9) == "OK"


def test_an_alarm_on_a_band_is_refused() -> None:
    with pytest.raises(ValueError, match="only alarms on one metric"):
        check_kind({**ALARM, "ComparisonOperator": "GreaterThanUpperThreshold"})


@pytest.mark.parametrize(
    ("statistic", "known"), [("Average", "OK"), ("Maximum", "ALARM"), ("p90", "ALARM")]
)
def test_the_statistic_is_the_alarm_s(statistic: str, known: str) -> None:
    several = points(0.5) + points(0.5) + points(4)
    assert evaluated_state({**ALARM, "Statistic": statistic}, several, START + 200) == known


@pytest.mark.parametrize(
    ("treat", "nothing", "one_of_three"),
    [
        ("missing", "INSUFFICIENT_DATA", "ALARM"),
        ("breaching", "ALARM", "ALARM"),
        ("notBreaching", "OK", "OK"),
        ("ignore", "as before", "as before"),
    ],
)
def test_missing_data_are_treated_as_the_alarm_says(
    treat: str, nothing: str, one_of_three: str
) -> None:
    """The rows of three periods in CloudWatch's user guide."""
    alarm: dict[str, Any] = {
        "EvaluationPeriods": 3,
        "TreatMissingData": treat,
        "StateValue": "as before",
    }
    assert state(minutes=9, **alarm) == nothing
    assert state(None, None, 5, None, None, minutes=7, **alarm) == one_of_three


def test_the_first_data_points_of_a_metric_are_waited_for() -> None:
    alarm: dict[str, Any] = {"EvaluationPeriods": 3, "TreatMissingData": "missing"}
    new = {"StateValue": "INSUFFICIENT_DATA", **alarm}
    assert state(5, minutes=3, **new) == "INSUFFICIENT_DATA"
    assert state(5, 5, minutes=4, **new) == "INSUFFICIENT_DATA"
    assert state(5, 5, 5, minutes=5, **new) == "ALARM"


def test_some_of_the_periods_may_be_enough() -> None:
    two_of_three: dict[str, Any] = {"EvaluationPeriods": 3, "DatapointsToAlarm": 2}
    assert state(5, 0, 5, minutes=5, **two_of_three) == "ALARM"
    assert state(0, 0, 5, minutes=5, **two_of_three) == "OK"


def test_an_alarm_of_ten_seconds_knows_within_two_periods() -> None:
    alarm = {**ALARM, "Period": 10}
    assert evaluated_state(alarm, points(5), START + 19) == "OK"
    assert evaluated_state(alarm, points(5), START + 20) == "ALARM"


def test_the_last_data_count_until_they_are_out_of_range() -> None:
    """CloudWatch fetches more periods than it needs, and takes those that have data."""
    assert state(5, None, None, minutes=5) == "ALARM"
    assert state(5, None, None, None, minutes=6) == "OK"
