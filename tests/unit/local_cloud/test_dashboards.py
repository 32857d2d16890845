"""The dashboard on the local cloud: taken as CloudWatch takes it, with figures from log lines."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from front_door.metrics import embedded
from local_cloud.child import ChildCloud
from local_cloud.ministack.embedded_metrics import embedded_metrics
from local_cloud.ministack.telemetry import Metric
from operations.dashboard.figures import Line, figures_of
from stacks.components.dashboard import dashboard_body
from stacks.settings import load
from tests.fakes.local_function import LocalFunction
from tests.infrastructure.support import CONTEXT, REGION
from tests.unit.local_cloud.test_cloudformation import Stack


def stack(cloud: ChildCloud, name: str, body: dict[str, Any]) -> Stack:
    properties = {"DashboardName": name, "DashboardBody": json.dumps(body)}
    page = {"Type": "AWS::CloudWatch::Dashboard", "Properties": properties}
    return Stack(cloud, name, {"Page": page})


def test_the_app_s_dashboard_is_there_until_its_stack_goes(cloud: ChildCloud) -> None:
    body = dashboard_body(load(CONTEXT, REGION))
    page = stack(cloud, "page", body)
    page.create()
    cloudwatch = cloud.client("cloudwatch")
    found = cloudwatch.get_dashboard(DashboardName="page")
    assert json.loads(found["DashboardBody"]) == body
    page.delete()
    names = [each["DashboardName"] for each in cloudwatch.list_dashboards()["DashboardEntries"]]
    assert "page" not in names


def test_a_body_that_cloudwatch_refuses_fails_its_stack(cloud: ChildCloud) -> None:
    body = dashboard_body(load(CONTEXT, REGION))
    del body["widgets"][0]["properties"]["region"]
    said = stack(cloud, "refused-page", body).refused()
    assert "The dashboard body is invalid, there are 1 validation errors" in said
    assert "/widgets/0/properties/region" in said


def test_figures_in_a_function_s_log_are_metrics(cloud: ChildCloud) -> None:
    """As the front door writes them and the dashboard reads them."""
    now = time.time()
    line = {"model": "g5", "total_ms": 2500.0, "pictures": 2}
    written = line | embedded("told", now, {"total_ms": 2500.0, "pictures": 2})
    code = f"def handler(event, context):\n    print({json.dumps(written)!r})"
    LocalFunction(cloud, "telling", code)
    for _ in range(3):
        cloud.client("lambda").invoke(FunctionName="telling")
    model = (("model", "g5"),)
    asked = [
        Line("told", "total_ms", model, "p90", 300, {}),
        Line("told", "pictures", model, "Sum", 300, {}),
    ]
    times, pictures = figures_of(cloud.client("cloudwatch"))(asked, now - 600, now + 600)
    assert set(times.values()) == {2500}
    assert sum(pictures.values()) == 6


@pytest.mark.parametrize(
    "line",
    [
        "no JSON of _aws",
        '{"_aws": 1}',
        '{"_aws": {}}',
        '{"_aws": {"CloudWatchMetrics": [{}]}}',
        json.dumps({"ms": 1} | embedded("told", 0, {"ms": 1})),
        json.dumps({"model": "g5", "ms": "1"} | embedded("told", 0, {"ms": 1})),
    ],
)
def test_a_line_that_is_not_of_the_format_is_no_metric(line: str) -> None:
    """The last two have no dimension's value, and no number."""
    assert not embedded_metrics(line)


def test_a_line_has_metrics_with_their_units() -> None:
    line = {"model": "g5", "ms": [1, 2]} | embedded("told", 0, {"ms": 0})
    ((namespace, dimensions, metrics),) = embedded_metrics(json.dumps(line))
    assert (namespace, dimensions) == ("told", {"model": "g5"})
    assert metrics == [Metric("ms", 1.0, "Count"), Metric("ms", 2.0, "Count")]
