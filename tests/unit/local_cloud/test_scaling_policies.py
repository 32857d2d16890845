"""What scaling policies want, by Application Auto Scaling's own rules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from local_cloud.api_shapes import BadRequest
from local_cloud.autoscaling.policies import (
    capacity_by_steps,
    capacity_by_target,
    checked_config,
    tracking_alarms,
)
from local_cloud.ministack.schedules import next_due
from tests.fakes.scaling import BACKLOG, CONCURRENCY, steps


@pytest.mark.parametrize(
    ("current", "value", "wanted"), [(1, 23, 5), (2, 5.1, 3), (3, 1, 1), (1, 0, 0), (0, 6, 2)]
)
def test_target_tracking_goes_by_the_ratio_to_the_target(
    current: int, value: float, wanted: int
) -> None:
    assert capacity_by_target(BACKLOG, current, value) == wanted


def test_a_policy_on_the_backlog_has_the_alarms_of_a_metric_of_one_minute() -> None:
    high, low = tracking_alarms(BACKLOG, "e", "v")
    metric = {
        "Namespace": "AWS/SageMaker",
        "MetricName": "ApproximateBacklogSizePerInstance",
        "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
        "Statistic": "Average",
        "Period": 60,
    }
    out = {"EvaluationPeriods": 3, "ComparisonOperator": "GreaterThanThreshold", "Threshold": 5.0}
    back = {"EvaluationPeriods": 15, "ComparisonOperator": "LessThanThreshold", "Threshold": 4.5}
    assert (high, low) == ({**metric, **out}, {**metric, **back})


def test_a_policy_on_concurrency_scales_out_within_seconds_and_in_as_slowly_as_others() -> None:
    high, low = tracking_alarms(CONCURRENCY, "e", "v")
    assert [one["MetricName"] for one in (high, low)] == ["ConcurrentRequestsPerModel"] * 2
    assert high["Dimensions"] == [
        {"Name": "EndpointName", "Value": "e"},
        {"Name": "VariantName", "Value": "v"},
    ]
    assert (high["Statistic"], high["Period"], high["EvaluationPeriods"]) == ("Maximum", 10, 3)
    assert (low["Period"], low["EvaluationPeriods"]) == (60, 15)


def test_without_scale_in_there_is_no_alarm_for_it() -> None:
    assert len(tracking_alarms({**BACKLOG, "DisableScaleIn": True}, "e", "v")) == 1


@pytest.mark.parametrize(
    ("kind", "base", "beyond", "wanted"),
    [
        ("ChangeInCapacity", 0, 0, 1),
        ("ChangeInCapacity", 2, 10, 5),
        ("ChangeInCapacity", 2, -1, None),
        ("ExactCapacity", 7, 10, 3),
        ("PercentChangeInCapacity", 50, 0, 51),
    ],
)
def test_the_step_that_covers_the_breach_counts(
    kind: str, base: int, beyond: float, wanted: int | None
) -> None:
    config = steps(kind, (0, 10, 1), (10, None, 3))
    assert capacity_by_steps(config, base, beyond) == wanted


def test_below_the_threshold_the_upper_bound_belongs_to_the_step() -> None:
    config = steps("ChangeInCapacity", (None, 0, -1))
    assert capacity_by_steps(config, 3, 0) == 2
    assert capacity_by_steps(config, 3, -4) == 2


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("StepScaling", steps("ChangeInCapacity", (0, 5, 1), (6, None, 2)), "gap or overlap"),
        ("StepScaling", {"AdjustmentType": "ExactCapacity"}, "needs an AdjustmentType and"),
        ("TargetTrackingScaling", {"TargetValue": 1.0}, "either a predefined or a customized"),
        ("TargetTrackingScaling", {**BACKLOG, **CONCURRENCY}, "either a predefined or a custom"),
        (
            "TargetTrackingScaling",
            {"TargetValue": 1.0, "CustomizedMetricSpecification": {"MetricName": "M"}},
            "needs MetricName, Namespace and Statistic",
        ),
        ("PredictiveScaling", {}, "The local cloud has policies of"),
    ],
)
def test_a_policy_that_aws_refuses_is_refused(
    kind: str, config: dict[str, Any], message: str
) -> None:
    member = f"{kind}PolicyConfiguration"
    with pytest.raises(BadRequest, match=message):
        checked_config(kind, {member: config})


def test_schedules_are_due_by_the_clock_of_their_time_zone() -> None:
    friday = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
    morning = next_due("cron(0 8 ? * MON-FRI *)", "Europe/Berlin", friday)
    assert morning == datetime(2026, 11, 30, 7, 0, tzinfo=UTC)
    once = next_due("at(2026-11-28T09:00:00)", "America/New_York", friday)
    assert once == datetime(2026, 11, 28, 14, 0, tzinfo=UTC)
    assert next_due("at(2026-11-26T09:00:00)", "UTC", friday) is None
    assert next_due("rate(5 minutes)", "UTC", friday) == friday.replace(minute=5)
    for expression, zone in (("cron(0 8 * * MON *)", "UTC"), ("rate(1 minute)", "Mars/North")):
        with pytest.raises(ValueError, match="Invalid"):
            next_due(expression, zone, friday)
