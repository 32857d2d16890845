"""What a dashboard's widgets ask for, and the same of CloudWatch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# GetMetricData's (API reference).
MOST_QUERIES = 500


@dataclass(frozen=True)
class Line:
    """`look` is the metric's own part of the widget: its label and colour."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    period_s: int
    look: Mapping[str, str]


Points = Mapping[float, float]
"""Values by the time in seconds at which their period begins."""
Figures = Callable[[Sequence[Line], float, float], Sequence[Points]]
"""Of each line, from one time to another."""


def lines(widget: Mapping[str, Any]) -> list[Line]:
    """Of a metric widget whose metrics are spelt out, each with what it looks like at its end."""
    properties = widget["properties"]
    found = []
    for namespace, name, *dimensions, look in properties["metrics"]:
        pairs = tuple(zip(dimensions[::2], dimensions[1::2], strict=True))
        found.append(Line(namespace, name, pairs, look["stat"], properties["period"], look))
    return found


def figures_of(cloudwatch: Any) -> Figures:
    """Of an account, by a boto3 client."""

    def read(asked: Sequence[Line], start_s: float, end_s: float) -> list[Points]:
        queries = [query(f"m{number}", line) for number, line in enumerate(asked)]
        found: list[dict[float, float]] = [{} for _ in asked]
        for first in range(0, len(queries), MOST_QUERIES):
            pages = cloudwatch.get_paginator("get_metric_data").paginate(
                MetricDataQueries=queries[first : first + MOST_QUERIES],
                StartTime=datetime.fromtimestamp(start_s, UTC),
                EndTime=datetime.fromtimestamp(end_s, UTC),
            )
            for result in (result for page in pages for result in page["MetricDataResults"]):
                times = [moment.timestamp() for moment in result["Timestamps"]]
                found[int(result["Id"][1:])].update(zip(times, result["Values"], strict=True))
        return [dict(sorted(points.items())) for points in found]

    return read


def query(id: str, line: Line) -> dict[str, Any]:
    metric = {
        "Namespace": line.namespace,
        "MetricName": line.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in line.dimensions],
    }
    asked = {"Metric": metric, "Period": line.period_s, "Stat": line.statistic}
    return {"Id": id, "MetricStat": asked}
