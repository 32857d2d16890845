"""The dashboard: all its metrics are published by somebody, whichever variants there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator

from local_cloud.ministack.dashboards import body_problems
from operations.dashboard.command import dashboard
from operations.dashboard.drawing import draw
from operations.dashboard.figures import Line, figures_of, lines, query
from operations.dashboard.made_up import DAY_S, made_up, statistic
from stacks.components.dashboard import dashboard_body
from stacks.settings import ROOT, load
from tests.fakes.front_door import FakeRuntime, World, no_endpoint
from tests.infrastructure.support import (
    CONTEXT,
    G5_ALONE,
    REGION,
    Resource,
    Synthesized,
    synthesize,
)

DASHBOARD = "AWS::CloudWatch::Dashboard"
VARIANT = {"EndpointName", "VariantName"}
# SageMaker's developer guide, monitoring-cloudwatch and async-inference-monitor; API Gateway's,
# api-gateway-metrics-and-dimensions.
PUBLISHED = {
    ("AWS/SageMaker", "Invocations"): VARIANT,
    ("AWS/SageMaker", "Invocation5XXErrors"): VARIANT,
    ("AWS/SageMaker", "ConcurrentRequestsPerModel"): VARIANT,
    ("AWS/SageMaker", "ApproximateBacklogSize"): {"EndpointName"},
    ("/aws/sagemaker/Endpoints", "MemoryUtilization"): VARIANT,
    **{
        ("AWS/ApiGateway", name): {"ApiName", "Stage"} for name in ("Count", "4XXError", "5XXError")
    },
}
FIVE = {f"sd.variants.more{n}": {"kind": "diffusers", "model": "sd21-base"} for n in (1, 2)}

SERVED_BOTH_WAYS = {"sd.variants.g5.serve": "real-time,async,bulk"}


def body_of(app: Synthesized) -> Resource:
    _, resource = app.one("SdAlarmsStack", DASHBOARD)
    body: Resource = json.loads(resource["Properties"]["DashboardBody"])
    return body


def body_with(**context: Any) -> Resource:
    return dashboard_body(load({**CONTEXT, **context}, REGION))


def drawn(body: Resource) -> Iterator[Line]:
    return (line for widget in body["widgets"] for line in lines(widget))


def titles(body: Resource) -> list[str]:
    return [widget["properties"]["title"] for widget in body["widgets"]]


def test_what_the_front_door_tells_is_what_is_drawn(aws: Synthesized) -> None:
    well, badly = World(), World(runtime=FakeRuntime(fails=no_endpoint()))
    told: set[tuple[str, str, tuple[str, ...]]] = set()
    for world in (well, badly):
        world.generate(prompt="a red fox")
        for directive in world.logged[0]["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                told.add(
                    (directive["Namespace"], metric["Name"], *map(tuple, directive["Dimensions"]))
                )
    own = [line for line in drawn(body_of(aws)) if line.namespace == "sd"]
    assert {
        (line.namespace, line.name, tuple(name for name, _ in line.dimensions)) for line in own
    } <= told
    assert {line.dimensions for line in own} == {
        (("model", name),) for name in ("g5", "djl", "inf2")
    }
    times = {line.name for line in own if line.name.endswith("_ms")}
    # What they have in them stands beside them.
    assert {name for _, name, _ in told if name.endswith("_ms")} - times == {"endpoint_ms"}


def test_the_rest_are_metrics_of_aws(aws: Synthesized) -> None:
    names = set()
    for line in drawn(body_of(aws)):
        if line.namespace != "sd":
            names.add((line.namespace, line.name))
            assert {name for name, _ in line.dimensions} == PUBLISHED[line.namespace, line.name]
    # Nothing is asynchronous by default.
    assert names == PUBLISHED.keys() - {("AWS/SageMaker", "ApproximateBacklogSize")}


def test_an_asynchronous_endpoint_has_its_lines() -> None:
    body = body_with(**SERVED_BOTH_WAYS)
    (queue,) = (line for line in drawn(body) if line.name == "ApproximateBacklogSize")
    assert queue.dimensions == (("EndpointName", "sd-g5-async"),)
    assert queue.look["label"] == "g5 async"
    # The API's requests are the real-time endpoint's.
    models = {line.dimensions[0][1] for line in drawn(body) if line.namespace == "sd"}
    assert models == {"g5", "djl", "inf2"}


@pytest.mark.parametrize(
    "context", [{}, G5_ALONE, FIVE, SERVED_BOTH_WAYS, {**G5_ALONE, "sd.variants.g5.serve": "async"}]
)
def test_cloudwatch_takes_it(context: dict[str, Any]) -> None:
    body = body_with(**context)
    assert not list(body_problems(json.dumps(body)))
    places = {
        (column, row)
        for widget in body["widgets"]
        for column in range(widget["x"], widget["x"] + widget["width"])
        for row in range(widget["y"], widget["y"] + widget["height"])
    }
    assert len(places) == sum(widget["width"] * widget["height"] for widget in body["widgets"])
    assert len(titles(body)) == len(set(titles(body)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda widget: widget.update(x=20), "within 24 columns"),
        (lambda widget: widget["properties"].pop("region"), "required property 'region'"),
        (lambda widget: widget["properties"].update(period=45), "multiple of 60"),
        (lambda widget: widget["properties"].update(metrics=[]), "fewer than 1"),
        (lambda widget: widget["properties"]["metrics"][0].pop(2), "dimensions in pairs"),
        (lambda widget: widget["properties"]["metrics"][0][-1].update(color="red"), "hex digits"),
    ],
)
def test_what_cloudwatch_does_not_take_is_found(change: Any, said: str) -> None:
    body = body_with()
    change(body["widgets"][0])
    (problem,) = body_problems(json.dumps(body))
    assert said in problem


def test_the_default_page_is_one_of_those_that_are_free(aws: Synthesized) -> None:
    """An account's first three, of 50 metrics at most (aws.amazon.com/cloudwatch/pricing)."""

    def metrics(body: Resource) -> int:
        return len({(line.namespace, line.name, line.dimensions) for line in drawn(body)})

    three, one = metrics(body_of(aws)), metrics(body_with(**G5_ALONE))
    assert three <= 50
    told = f"with three real-time variants it has {three}, with one {one}"
    assert told in (ROOT / "docs" / "operations.md").read_text()


def test_variants_stand_side_by_side_and_come_and_go() -> None:
    def stages(body: Resource) -> dict[str, tuple[int, int]]:
        return {
            widget["properties"]["title"].split(":")[0]: (widget["x"], widget["width"])
            for widget in body["widgets"]
            if "stages" in widget["properties"]["title"]
        }

    assert stages(body_with()) == {"g5": (0, 8), "djl": (8, 8), "inf2": (16, 8)}
    assert stages(body_with(**G5_ALONE)) == {"g5": (0, 24)}
    assert [x for x, _ in stages(body_with(**FIVE)).values()] == [0, 6, 12, 18, 0]


def test_no_other_stack_knows_of_it(aws: Synthesized, tmp_path: Path) -> None:
    """A stack that is changed or destroyed leaves it as it is."""
    _, resource = aws.one("SdAlarmsStack", DASHBOARD)
    assert isinstance(resource["Properties"]["DashboardBody"], str)
    without = synthesize(tmp_path, **{"sd.alarms.dashboard": "false"})
    changed = {name for name in aws.templates if aws.templates[name] != without.templates[name]}
    assert changed == {"SdAlarmsStack"}
    assert not list(without.every(DASHBOARD))


def test_instances_are_counted_by_the_minute() -> None:
    """Each has one data point a minute, so other periods would count it several times."""
    body = body_with()
    (counted, *_) = (line for line in drawn(body) if line.statistic == "SampleCount")
    assert counted.period_s == 60
    assert body["periodOverride"] == "inherit"


def test_a_made_up_day_has_all_that_is_drawn_and_is_the_same_each_time() -> None:
    settings = load(CONTEXT, REGION)
    asked = list(drawn(dashboard_body(settings)))
    first, again = (made_up(settings, 0)(asked, 0, DAY_S) for _ in range(2))
    assert all(first)
    assert first == again
    by_label = {
        line.look["label"]: points
        for line, points in zip(asked, first, strict=True)
        if line.statistic == "SampleCount"
    }
    assert set(by_label["g5"].values()) == {1, 2}
    assert set(by_label["djl"].values()) == {1}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Sum", 15), ("Average", 3), ("Maximum", 5), ("SampleCount", 5), ("p90", 5), ("p50", 3)],
)
def test_statistics(name: str, expected: float) -> None:
    assert statistic(name, [5, 1, 4, 2, 3]) == expected


def test_the_made_up_picture_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an account."""
    settings = load({**CONTEXT, **G5_ALONE}, REGION)
    path = tmp_path / "dashboard.png"
    assert dashboard(settings, no_account, no_clock, path, invented=True) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "drawn from made-up traffic" in capsys.readouterr().out


def no_account(service: str) -> Any:
    raise AssertionError(service)


def no_clock() -> float:
    raise AssertionError


class FakeCloudWatch:
    """With one value of each metric it is asked for; requests are held against botocore's model."""

    def __init__(self, values: dict[str, float]) -> None:
        self._values = values

    def get_paginator(self, operation: str) -> FakeCloudWatch:
        assert operation == "get_metric_data"
        return self

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        model = get_session().get_service_model("cloudwatch").operation_model("GetMetricData")
        assert not ParamValidator().validate(request, model.input_shape).has_errors()
        for each in request["MetricDataQueries"]:
            name = each["MetricStat"]["Metric"]["MetricName"]
            values = [self._values[name]] if name in self._values else []
            times = [request["StartTime"]] * len(values)
            yield {"MetricDataResults": [{"Id": each["Id"], "Timestamps": times, "Values": values}]}


def test_an_account_s_own_figures(tmp_path: Path) -> None:
    body = body_with()
    figures = figures_of(FakeCloudWatch({"Invocations": 7, "failed": 2}))
    asked = list(drawn(body))
    found = dict(zip((line.name for line in asked), figures(asked, 1000, 2000), strict=True))
    assert found["Invocations"] == {1000.0: 7}
    assert found["failed"] == {1000.0: 2}
    assert found["total_ms"] == {}
    # Three variants' of each; what has no data is drawn as that.
    assert draw(body, figures, 0, 3600, "some", tmp_path / "some.png") == 6


def test_an_account_is_asked_for_a_metric_by_its_dimensions() -> None:
    line = Line("sd", "total_ms", (("model", "g5"),), "p90", 300, {})
    assert query("m0", line)["MetricStat"] == {
        "Metric": {
            "Namespace": "sd",
            "MetricName": "total_ms",
            "Dimensions": [{"Name": "model", "Value": "g5"}],
        },
        "Period": 300,
        "Stat": "p90",
    }
