"""Metrics that stand in a function's log lines: CloudWatch's embedded metric format.

User guide, CloudWatch_Embedded_Metric_Format_Specification: a line that isn't of it stays a line of
the log, without a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from local_cloud.ministack.telemetry import Metric, put_metrics

MOST_METRICS, MOST_DIMENSIONS = 100, 30

Found = tuple[str, Mapping[str, str], list[Metric]]
"""Namespace, dimensions, metrics."""


def publish_embedded(log: str) -> None:
    """In the caller's account."""
    for line in log.splitlines():
        if '"_aws"' in line:
            for namespace, dimensions, metrics in embedded_metrics(line):
                put_metrics(namespace, dimensions, metrics)


def embedded_metrics(line: str) -> list[Found]:
    """For each set of dimensions."""
    try:
        return list(_found(json.loads(line)))
    except (ValueError, TypeError, KeyError, AttributeError):
        return []


def _found(members: Mapping[str, Any]) -> Iterator[Found]:
    for directive in members["_aws"]["CloudWatchMetrics"]:
        metrics = list(_metrics(members, directive))
        for names in directive["Dimensions"]:
            dimensions = {name: members.get(name, "") for name in names}
            whole = all(isinstance(value, str) and value for value in dimensions.values())
            if whole and len(names) <= MOST_DIMENSIONS and 0 < len(metrics) <= MOST_METRICS:
                yield directive["Namespace"], dimensions, metrics


def _metrics(members: Mapping[str, Any], directive: Mapping[str, Any]) -> Iterator[Metric]:
    for metric in directive["Metrics"]:
        values = members.get(metric["Name"])
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield Metric(metric["Name"], float(value), metric.get("Unit", "None"))
