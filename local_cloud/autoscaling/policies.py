"""What scaling policies come to: their alarms, and the capacity they want.

Application Auto Scaling user guide: step scaling and target tracking, how they work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from local_cloud.api_shapes import BadRequest

Config = Mapping[str, Any]
STEPS, TRACKING = "StepScaling", "TargetTrackingScaling"
MEMBERS = {
    STEPS: "StepScalingPolicyConfiguration",
    TRACKING: "TargetTrackingScalingPolicyConfiguration",
}
# A policy scales out after three periods above its target, in after fifteen minutes below nine
# tenths of it. A metric that comes every ten seconds has periods of ten on the way out alone
# ("your policy scales in at the same speed": endpoint-auto-scaling-add-code-define).
HIGH_PERIODS, LOW_PERIODS = 3, 15
LOW_SHARE = 0.9
# Predefined metrics: name, statistic, period on the way out. The second's statistic was read off a
# deployed policy's alarm by others (a public benchmark of speech endpoints); no AWS page says it.
PREDEFINED = {
    "SageMakerVariantInvocationsPerInstance": ("InvocationsPerInstance", "Sum", 60),
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": (
        "ConcurrentRequestsPerModel",
        "Maximum",
        10,
    ),
}


def checked_config(kind: str, request: Mapping[str, Any]) -> Config:
    """A PutScalingPolicy request's configuration; BadRequest for one that AWS refuses."""
    config: Config | None = request.get(MEMBERS.get(kind, ""))
    if config is None:
        raise invalid(f"The local cloud has policies of {', '.join(MEMBERS)}, each with its own "
                      "configuration.")  # fmt: skip
    if kind == STEPS:
        check_steps(config)
    else:
        metric_alarm(config, "", "")
    return config


def check_steps(config: Config) -> None:
    """BadRequest unless the steps cover one range, without gaps and overlaps."""
    if not config.get("AdjustmentType") or not config.get("StepAdjustments"):
        raise invalid("A step scaling policy needs an AdjustmentType and StepAdjustments.")
    bounds = sorted(bounds_of(step) for step in config["StepAdjustments"])
    for (_, upper), (lower, _) in pairwise(bounds):
        if upper != lower:
            raise invalid("Step adjustment intervals can't have a gap or overlap.")


def bounds_of(step: Mapping[str, Any]) -> tuple[float, float]:
    lower = step.get("MetricIntervalLowerBound", -math.inf)
    return float(lower), float(step.get("MetricIntervalUpperBound", math.inf))


def capacity_by_steps(config: Config, base: int, beyond: float) -> int | None:
    """The capacity for a metric that is `beyond` the alarm's threshold, from `base`; None where no
    step covers that."""
    step = next((one for one in config["StepAdjustments"] if covers(one, beyond)), None)
    if step is None:
        return None
    adjustment = int(step["ScalingAdjustment"])
    match config["AdjustmentType"]:
        case "ExactCapacity":
            return adjustment
        case "ChangeInCapacity":
            return base + adjustment
    change = base * adjustment / 100
    # Toward zero, but at least one.
    least = int(config.get("MinAdjustmentMagnitude", 0))
    size = max(math.floor(abs(change)), 1 if change else 0, least)
    return base + (size if adjustment > 0 else -size)


def covers(step: Mapping[str, Any], beyond: float) -> bool:
    """Above the threshold the lower bound belongs to a step, below it the upper one."""
    lower, upper = bounds_of(step)
    return lower <= beyond < upper or (beyond <= 0 and lower < beyond <= upper)


def capacity_by_target(config: Config, current: int, value: float) -> int:
    """As much as brings the metric to its target if it goes by capacity; at zero it is taken for
    that of one instance."""
    return math.ceil(max(current, 1) * value / float(config["TargetValue"]))


def tracking_alarms(config: Config, endpoint: str, variant: str) -> Sequence[dict[str, Any]]:
    """PutMetricAlarm's members but names and actions: for scaling out, and for scaling in unless
    that is disabled."""
    metric = metric_alarm(config, endpoint, variant)
    target = float(config["TargetValue"])
    high = {
        **metric,
        "EvaluationPeriods": HIGH_PERIODS,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": target,
    }
    low = {
        **metric,
        "Period": 60,
        "EvaluationPeriods": LOW_PERIODS,
        "ComparisonOperator": "LessThanThreshold",
        "Threshold": target * LOW_SHARE,
    }
    return [high] if config.get("DisableScaleIn") else [high, low]


def metric_alarm(config: Config, endpoint: str, variant: str) -> dict[str, Any]:
    """The members that name a target tracking policy's metric. BadRequest."""
    given = config.get("PredefinedMetricSpecification"), config.get("CustomizedMetricSpecification")
    predefined, customized = given
    if (predefined is None) == (customized is None):
        raise invalid("A target tracking policy has either a predefined or a customized metric.")
    if predefined is not None:
        kind = predefined["PredefinedMetricType"]
        if kind not in PREDEFINED:
            raise invalid(f"The local cloud has no predefined metric {kind}.")
        name, statistic, period = PREDEFINED[kind]
        dimensions = {"EndpointName": endpoint, "VariantName": variant}
        return {
            "Namespace": "AWS/SageMaker",
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            "Statistic": statistic,
            "Period": period,
        }
    assert customized is not None
    if not all(customized.get(name) for name in ("MetricName", "Namespace", "Statistic")):
        raise invalid("CustomizedMetricSpecification needs MetricName, Namespace and Statistic.")
    return {
        "Namespace": customized["Namespace"],
        "MetricName": customized["MetricName"],
        "Dimensions": customized.get("Dimensions", []),
        "Statistic": customized["Statistic"],
        "Period": 60,
        **({"Unit": customized["Unit"]} if customized.get("Unit") else {}),
    }


def invalid(message: str) -> BadRequest:
    """To be raised."""
    return BadRequest("ValidationException", message)
