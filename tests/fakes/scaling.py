"""Configurations of scaling policies, as PutScalingPolicy takes them."""

from __future__ import annotations

from typing import Any

BACKLOG = {
    "TargetValue": 5.0,
    "CustomizedMetricSpecification": {
        "MetricName": "ApproximateBacklogSizePerInstance",
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
        "Statistic": "Average",
    },
}
CONCURRENCY = {
    "TargetValue": 2.0,
    "PredefinedMetricSpecification": {
        "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    },
}


def steps(kind: str, *adjustments: tuple[float | None, float | None, int]) -> dict[str, Any]:
    names = ("MetricIntervalLowerBound", "MetricIntervalUpperBound", "ScalingAdjustment")
    listed = [
        {name: value for name, value in zip(names, one, strict=True) if value is not None}
        for one in adjustments
    ]
    return {"AdjustmentType": kind, "StepAdjustments": listed}
