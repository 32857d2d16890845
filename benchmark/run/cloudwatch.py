"""SageMaker's own latencies for a run's phases, from CloudWatch."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from benchmark.run.records import WARM_UP, CloudWatchRecord, RequestRecord, ServedVariant

METRICS = ("ModelLatency", "OverheadLatency")


class CloudWatchClient(Protocol):
    def get_metric_data(self, **request: Any) -> dict[str, Any]: ...


class SageMakerClient(Protocol):
    def describe_endpoint(self, **request: Any) -> dict[str, Any]: ...


def collect(
    records: Sequence[RequestRecord],
    cloudwatch: CloudWatchClient,
    sagemaker: SageMakerClient,
    failures: tuple[type[Exception], ...],
) -> list[CloudWatchRecord]:
    """One record for each variant and phase in `records`; `failures` are the SDK's exceptions."""

    def read(model: str, phase: str, variant: ServedVariant) -> CloudWatchRecord:
        times = [
            (datetime.fromisoformat(r.sent_at), r.latency_s)
            for r in records
            if r.model == model and r.phase == phase
        ]
        start = min(sent for sent, _ in times).replace(second=0, microsecond=0)
        end = max(sent + timedelta(seconds=seconds) for sent, seconds in times)
        try:
            minutes = _minutes(cloudwatch, sagemaker, variant.endpoint_name, start, end)
        except failures as error:
            return CloudWatchRecord(model, phase, None, f"{type(error).__name__}: {error}")
        if not minutes:
            reason = f"CloudWatch holds no {METRICS[0]} of {variant.endpoint_name} at that time"
            return CloudWatchRecord(model, phase, None, reason)
        return CloudWatchRecord(model, phase, minutes, None)

    return _for_each_phase(records, read)


def unavailable(records: Sequence[RequestRecord], reason: str) -> list[CloudWatchRecord]:
    return _for_each_phase(
        records, lambda model, phase, _: CloudWatchRecord(model, phase, None, reason)
    )


def _for_each_phase(
    records: Iterable[RequestRecord],
    read: Callable[[str, str, ServedVariant], CloudWatchRecord],
) -> list[CloudWatchRecord]:
    variants = {(r.model, r.phase): r.variant for r in records if r.phase != WARM_UP}
    return [read(model, phase, variant) for (model, phase), variant in variants.items()]


def _minutes(
    cloudwatch: CloudWatchClient,
    sagemaker: SageMakerClient,
    endpoint: str,
    start: datetime,
    end: datetime,
) -> dict[str, dict[str, float]]:
    description = sagemaker.describe_endpoint(EndpointName=endpoint)
    production_variant = description["ProductionVariants"][0]["VariantName"]

    def query(name: str, metric: str, statistic: str) -> dict[str, Any]:
        dimensions = {"EndpointName": endpoint, "VariantName": production_variant}
        return {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SageMaker",
                    "MetricName": metric,
                    "Dimensions": [{"Name": k, "Value": v} for k, v in dimensions.items()],
                },
                "Period": 60,
                "Stat": statistic,
            },
        }

    request: dict[str, Any] = {
        "MetricDataQueries": [
            query("modellatency", "ModelLatency", "Average"),
            query("overheadlatency", "OverheadLatency", "Average"),
            query("count", "ModelLatency", "SampleCount"),
        ],
        "StartTime": start,
        "EndTime": end + timedelta(minutes=1),
    }
    names = {"modellatency": "ModelLatency", "overheadlatency": "OverheadLatency"}
    minutes: dict[str, dict[str, float]] = {}
    while True:
        answer = cloudwatch.get_metric_data(**request)
        for series in answer["MetricDataResults"]:
            metric = names.get(series["Id"])
            # SageMaker reports microseconds; everything here is in milliseconds.
            scale = 1000 if metric else 1
            for moment, value in zip(series["Timestamps"], series["Values"], strict=True):
                minute = moment.astimezone(UTC).isoformat(timespec="minutes")
                minutes.setdefault(minute, {})[metric or "count"] = value / scale
        if not answer.get("NextToken"):
            return minutes
        request["NextToken"] = answer["NextToken"]


def weighted_mean(record: CloudWatchRecord | None, metric: str) -> float | None:
    """Milliseconds over the phase, minutes weighted by their number of requests."""
    if record is None or not record.minutes:
        return None
    pairs = [
        (minute[metric], minute.get("count", 1.0))
        for minute in record.minutes.values()
        if metric in minute
    ]
    total = sum(count for _, count in pairs)
    return sum(value * count for value, count in pairs) / total if total else None
