"""SageMaker's own latencies for a run's phases, from CloudWatch."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from benchmark.run.records import CloudWatchRecord, RequestRecord, by_phase

METRICS = ("ModelLatency", "OverheadLatency")


class CloudWatchClient(Protocol):
    def get_paginator(self, operation: str) -> Any: ...


class SageMakerClient(Protocol):
    def describe_endpoint(self, **request: Any) -> dict[str, Any]: ...


def collect(
    records: Sequence[RequestRecord],
    cloudwatch: CloudWatchClient,
    sagemaker: SageMakerClient,
    failures: tuple[type[Exception], ...],
) -> list[CloudWatchRecord]:
    """One record for each variant and phase in `records`; `failures` are the SDK's exceptions."""

    def read(model: str, phase: str, sent: Sequence[RequestRecord]) -> CloudWatchRecord:
        endpoint = sent[-1].variant.endpoint_name
        times = [(datetime.fromisoformat(r.sent_at), timedelta(seconds=r.latency_s)) for r in sent]
        start = min(at for at, _ in times).replace(second=0, microsecond=0)
        end = max(at + took for at, took in times) + timedelta(minutes=1)
        try:
            request = _request(sagemaker, endpoint, StartTime=start, EndTime=end)
            minutes = _minutes(cloudwatch, request)
        except failures as error:
            return CloudWatchRecord(model, phase, None, f"{type(error).__name__}: {error}")
        reason = f"CloudWatch holds no {METRICS[0]} of {endpoint} at that time"
        return CloudWatchRecord(model, phase, minutes or None, None if minutes else reason)

    return [read(*phase, sent) for phase, sent in by_phase(records).items()]


def unavailable(records: Sequence[RequestRecord], reason: str) -> list[CloudWatchRecord]:
    return [CloudWatchRecord(*phase, None, reason) for phase in by_phase(records)]


def _request(sagemaker: SageMakerClient, endpoint: str, **window: datetime) -> dict[str, Any]:
    description = sagemaker.describe_endpoint(EndpointName=endpoint)
    production_variant = description["ProductionVariants"][0]["VariantName"]
    dimensions = [
        {"Name": "EndpointName", "Value": endpoint},
        {"Name": "VariantName", "Value": production_variant},
    ]

    def query(name: str, metric: str, statistic: str) -> dict[str, Any]:
        of = {"Namespace": "AWS/SageMaker", "MetricName": metric, "Dimensions": dimensions}
        return {"Id": name, "MetricStat": {"Metric": of, "Period": 60, "Stat": statistic}}

    queries = [
        *(query(metric.lower(), metric, "Average") for metric in METRICS),
        query("count", METRICS[0], "SampleCount"),
    ]
    return {"MetricDataQueries": queries, **window}


def _minutes(cloudwatch: CloudWatchClient, request: dict[str, Any]) -> dict[str, dict[str, float]]:
    names = {metric.lower(): metric for metric in METRICS}
    minutes: dict[str, dict[str, float]] = {}
    for page in cloudwatch.get_paginator("get_metric_data").paginate(**request):
        for series in page["MetricDataResults"]:
            metric = names.get(series["Id"])
            # SageMaker reports microseconds; everything here is in milliseconds.
            scale = 1000 if metric else 1
            for moment, value in zip(series["Timestamps"], series["Values"], strict=True):
                minute = moment.astimezone(UTC).isoformat(timespec="minutes")
                minutes.setdefault(minute, {})[metric or "count"] = value / scale
    return minutes


def weighted_mean(record: CloudWatchRecord | None, metric: str) -> float | None:
    """Milliseconds over the phase, minutes weighted by their number of requests."""
    minutes = (record.minutes if record else None) or {}
    pairs = [(m[metric], m.get("count", 1.0)) for m in minutes.values() if metric in m]
    total = sum(count for _, count in pairs)
    return sum(value * count for value, count in pairs) / total if total else None
