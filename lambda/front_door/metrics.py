"""The request's figures for CloudWatch, in the log line itself (embedded metric format).

CloudWatch's user guide, Embedded Metric Format Specification.
"""

from collections.abc import Mapping
from typing import Any

from sd_contract.invocation import Answer
from sd_contract.registration import Registration

# Of CloudWatch's (API reference, MetricDatum), by how a name ends; it has no money.
_UNITS = {"_ms": "Milliseconds", "usd_per_picture": "None"}


def embedded(namespace: str, now_s: float, figures: Mapping[str, float]) -> dict[str, Any]:
    """What makes metrics of a line's members `figures`, by its member `model`."""
    metrics = [
        {"Name": name, "Unit": next((_UNITS[end] for end in _UNITS if name.endswith(end)), "Count")}
        for name in figures
    ]
    directive = {"Namespace": namespace, "Dimensions": [["model"]], "Metrics": metrics}
    return {"_aws": {"Timestamp": int(now_s * 1000), "CloudWatchMetrics": [directive]}}


def usd_per_picture(variant: Registration, answer: Answer) -> float | None:
    """Of one instance busy with nothing else; None without a price."""
    if variant.price_usd_per_hour is None:
        return None
    hours = answer.instance_ms / 3_600_000
    return variant.price_usd_per_hour * hours / len(answer.images)
