"""The app's figures on one page of CloudWatch, its variants side by side.

The API reference, CloudWatch-Dashboard-Body-Structure: a metric is an array of its namespace, name
and dimensions, and what it is to look like. All of them are found by names that settings tell, so
variants come and go without it; one that isn't deployed has no line.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from sd_contract.invocation import STAGES
from sd_contract.registration import ASYNC, REAL_TIME
from stacks.components.alarms import Metric
from stacks.components.endpoint_alarms import INSTANCES, INVOCATIONS, endpoint_metric
from stacks.components.inference_api import STAGE
from stacks.settings import Settings

COLOURS = ("#0b6e99", "#d9730d", "#2f7d4f", "#8a4fbe", "#b3261e", "#6b6b6b")
WIDTH, HEIGHT, NARROWEST = 24, 6, 6
PERIOD_S = 300

Drawn = list[Any]
"""A metric as it stands in a widget."""


def dashboard_body(settings: Settings) -> dict[str, Any]:
    """Periods stay as they are here, whatever time is looked at: what is a sum, or counts
    instances, is by its period."""
    rows = [_traffic(settings), _answers(settings), _stages(settings), _fleets(settings)]
    widgets, y = [], 0
    for found in rows:
        # CloudWatch refuses a widget without a metric; nothing might be served in real time.
        row = [properties for properties in found if properties["metrics"]]
        across = min(len(row), WIDTH // NARROWEST) or 1
        for number, properties in enumerate(row):
            if number and number % across == 0:
                y += HEIGHT
            widgets.append(
                {
                    "type": "metric",
                    "x": number % across * (WIDTH // across),
                    "y": y,
                    "width": WIDTH // across,
                    "height": HEIGHT,
                    "properties": {"region": settings.region, **properties},
                }
            )
        y += HEIGHT if row else 0
    return {"start": "-P1D", "periodOverride": "inherit", "widgets": widgets}


def _traffic(settings: Settings) -> list[dict[str, Any]]:
    gateway = {"ApiName": settings.names.prefix, "Stage": STAGE}
    counted = [
        _drawn(Metric("AWS/ApiGateway", name, gateway), label, colour)
        for (name, label), colour in zip(
            {"Count": "all", "4XXError": "4xx", "5XXError": "5xx"}.items(), COLOURS, strict=False
        )
    ]
    return [
        _widget("Requests to the API, in 5 minutes", counted),
        _widget(
            "Requests to containers, batches' as well, in 5 minutes",
            _of_endpoints(settings, INVOCATIONS, "Invocations", "Sum"),
        ),
        _widget("Pictures by the API, in 5 minutes", _of_models(settings, "pictures", "Sum")),
    ]


def _answers(settings: Settings) -> list[dict[str, Any]]:
    return [
        _widget("Time of an answer, p90, ms", _of_models(settings, "total_ms", "p90")),
        _widget("Requests that failed, in 5 minutes", _of_models(settings, "failed", "Sum")),
        _widget(
            "5xx of containers, in 5 minutes",
            _of_endpoints(settings, INVOCATIONS, "Invocation5XXErrors", "Sum"),
        ),
    ]


def _stages(settings: Settings) -> list[dict[str, Any]]:
    """`endpoint_ms` has the container's stages in it, and waiting for them: left out, or the areas
    would count twice."""

    def stages(model: str) -> list[Drawn]:
        return [
            _drawn(_of_model(settings, model, f"{stage}_ms", "Average"), stage, colour)
            for stage, colour in zip((*STAGES, "storage"), COLOURS, strict=True)
        ]

    return [
        _widget(f"{each.label}: stages of a request, ms", stages(each.label), stacked=True)
        for each in _endpoints(settings)
        if not each.asynchronous
    ]


def _fleets(settings: Settings) -> list[dict[str, Any]]:
    endpoints = list(_endpoints(settings))
    busy = [
        _drawn(
            endpoint_metric(INVOCATIONS, "ConcurrentRequestsPerModel", each.name, "Maximum"),
            each.label,
            each.colour,
        )
        for each in endpoints
        if not each.asynchronous
    ]
    waiting = [
        _drawn(
            Metric(INVOCATIONS, "ApproximateBacklogSize", {"EndpointName": each.name}, "Maximum"),
            each.label,
            each.colour,
        )
        for each in endpoints
        if each.asynchronous
    ]
    return [
        _widget("Cost of a picture, USD", _of_models(settings, "usd_per_picture", "Average")),
        # Each measures its memory once a minute.
        _widget(
            "Instances",
            _of_endpoints(settings, INSTANCES, "MemoryUtilization", "SampleCount"),
            period_s=60,
        ),
        _widget("Backlog: requests at an instance, or waiting for one", [*busy, *waiting]),
    ]


@dataclass(frozen=True)
class _Endpoint:
    label: str
    name: str
    colour: str
    asynchronous: bool = False


def _endpoints(settings: Settings) -> Iterator[_Endpoint]:
    colours = cycle(COLOURS)
    for variant in settings.variants:
        if REAL_TIME in variant.serve:
            yield _Endpoint(variant.name, variant.endpoint_name, next(colours))
        if ASYNC in variant.serve:
            label, name = f"{variant.name} {ASYNC}", variant.async_endpoint_name
            yield _Endpoint(label, name, next(colours), asynchronous=True)


def _of_endpoints(settings: Settings, namespace: str, name: str, statistic: str) -> list[Drawn]:
    return [
        _drawn(endpoint_metric(namespace, name, each.name, statistic), each.label, each.colour)
        for each in _endpoints(settings)
    ]


def _of_models(settings: Settings, name: str, statistic: str) -> list[Drawn]:
    """By the names of the variants that the API serves."""
    return [
        _drawn(_of_model(settings, each.label, name, statistic), each.label, each.colour)
        for each in _endpoints(settings)
        if not each.asynchronous
    ]


def _of_model(settings: Settings, model: str, name: str, statistic: str) -> Metric:
    """One of the front door's, by its embedded metric format."""
    return Metric(settings.names.prefix, name, {"model": model}, statistic)


def _drawn(metric: Metric, label: str, colour: str) -> Drawn:
    dimensions = [part for pair in metric.dimensions.items() for part in pair]
    look = {"stat": metric.statistic, "label": label, "color": colour}
    return [metric.namespace, metric.name, *dimensions, look]


def _widget(
    title: str, metrics: Sequence[Drawn], *, stacked: bool = False, period_s: int = PERIOD_S
) -> dict[str, Any]:
    return {
        "title": title,
        "view": "timeSeries",
        "stacked": stacked,
        "period": period_s,
        "yAxis": {"left": {"min": 0, "showUnits": False}},
        "metrics": list(metrics),
    }
