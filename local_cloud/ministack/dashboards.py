"""What CloudWatch says of a dashboard's body, for AWS::CloudWatch::Dashboard.

API reference, CloudWatch-Dashboard-Body-Structure and PutDashboard: as far as metric and text
widgets go, the ones that the app might have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ministack.services.cloudformation import provisioners

DASHBOARD = "AWS::CloudWatch::Dashboard"
COLUMNS, MOST_WIDGETS, MOST_HEIGHT = 24, 500, 1000
SHORT_PERIODS = (1, 5, 10, 30)


def check_dashboards() -> None:
    handlers = provisioners._RESOURCE_HANDLERS[DASHBOARD]
    for verb, properties in (("create", 1), ("update", 2)):
        handlers[verb] = _checked(handlers[verb], properties)


def _checked(put: Callable[..., Any], at: int) -> Callable[..., Any]:
    def wrapped(*arguments: Any) -> Any:
        properties = arguments[at]
        name, body = properties.get("DashboardName"), properties.get("DashboardBody")
        problems = list(body_problems(body))
        if name is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", str(name)):
            problems.insert(0, "The value for field DashboardName contains invalid characters")
        if problems:
            said = f"{len(problems)} validation errors: {json.dumps(problems)}"
            raise ValueError(f"The dashboard body is invalid, there are {said}")
        return put(*arguments)

    return wrapped


def body_problems(body: object) -> Iterator[str]:
    try:
        document = json.loads(body) if isinstance(body, str) else None
    except ValueError:
        document = None
    widgets = document.get("widgets") if isinstance(document, dict) else None
    if not isinstance(widgets, list) or len(widgets) > MOST_WIDGETS:
        yield f"/: should be JSON's text with a list of at most {MOST_WIDGETS} widgets"
        return
    for number, widget in enumerate(widgets):
        place = f"/widgets/{number}"
        yield from _place_problems(widget, place)
        if widget.get("type") == "metric":
            yield from _metric_problems(widget.get("properties") or {}, f"{place}/properties")
        elif not isinstance((widget.get("properties") or {}).get("markdown"), str):
            yield f"{place}: should be a metric widget, or text with markdown"


def _place_problems(widget: Mapping[str, Any], place: str) -> Iterator[str]:
    x, width = widget.get("x", 0), widget.get("width", 6)
    if not (0 <= x < COLUMNS and 1 <= width <= COLUMNS and x + width <= COLUMNS):
        yield f"{place}: should lie within {COLUMNS} columns"
    if widget.get("y", 0) < 0 or not 1 <= widget.get("height", 6) <= MOST_HEIGHT:
        yield f"{place}/height: should be from 1 to {MOST_HEIGHT}"


def _metric_problems(properties: Mapping[str, Any], place: str) -> Iterator[str]:
    if not isinstance(properties.get("region"), str):
        yield f"{place}/region: should have required property 'region'"
    if not properties.get("metrics"):
        yield f"{place}/metrics: should NOT have fewer than 1 items"
    period = properties.get("period", 300)
    if period not in SHORT_PERIODS and (period % 60 or period < 60):
        yield f"{place}/period: should be 1, 5, 10, 30 or a multiple of 60"
    for number, metric in enumerate(properties.get("metrics") or ()):
        names = metric[:-1] if isinstance(metric[-1], Mapping) else metric
        look = metric[-1] if isinstance(metric[-1], Mapping) else {}
        named = len(names) >= 2 and not len(names) % 2 and all(isinstance(n, str) for n in names)
        if not named and "expression" not in look:
            yield f"{place}/metrics/{number}: should be a namespace, a name and dimensions in pairs"
        if not re.fullmatch(r"#[0-9a-fA-F]{6}|", look.get("color", "")):
            yield f"{place}/metrics/{number}/color: should be of six hex digits"
