"""SageMaker's latencies: read by the minute, or null with the reason."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from benchmark.report.analysis import analyse
from benchmark.report.tables import stages_table
from benchmark.run import cloudwatch
from benchmark.run.records import CloudWatchRecord, ResultsFile
from tests.fakes.benchmark import FakeApi, Ran, prompts, run_info, run_session


class Refused(Exception):
    pass


class FakeAws:
    """Both clients. Two minutes, in two pages; microseconds, as SageMaker reports them."""

    def __init__(self, served: bool = True, empty: bool = False) -> None:
        self.served, self.empty = served, empty
        self.request: dict[str, Any] = {}

    def describe_endpoint(self, **request: Any) -> dict[str, Any]:
        if not self.served:
            raise Refused("no such endpoint")
        assert request["EndpointName"].startswith("sd-")
        return {"ProductionVariants": [{"VariantName": "main"}]}

    def get_paginator(self, operation: str) -> Self:
        assert operation == "get_metric_data"
        return self

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        self.request = request
        for minute, (model, overhead, count) in enumerate([(5e5, 2e4, 2.0), (8e5, 2e4, 1.0)]):
            moment = request["StartTime"] + timedelta(minutes=minute)
            values = {"modellatency": model, "overheadlatency": overhead, "count": count}
            series = [
                {"Id": query["Id"], "Timestamps": [moment], "Values": [values[query["Id"]]]}
                for query in request["MetricDataQueries"]
            ]
            yield {"MetricDataResults": [] if self.empty else series}


@pytest.fixture
def ran(tmp_path: Path) -> Ran:
    return run_session(tmp_path, FakeApi(), prompts(3), warm_up=1)


def collected(ran: Ran, aws: FakeAws) -> list[CloudWatchRecord]:
    return cloudwatch.collect(ran.results.requests, aws, aws, (Refused,))


def test_minutes_in_milliseconds_weighted_by_their_requests(ran: Ran) -> None:
    aws = FakeAws()
    (record,) = collected(ran, aws)
    assert (record.model, record.phase, record.reason) == ("g5", "closed-1", None)
    assert record.minutes is not None
    first, second = record.minutes.values()
    assert first == {"ModelLatency": 500.0, "OverheadLatency": 20.0, "count": 2.0}
    assert second["ModelLatency"] == 800.0
    assert cloudwatch.weighted_mean(record, "ModelLatency") == pytest.approx(600.0)
    metric = aws.request["MetricDataQueries"][0]["MetricStat"]["Metric"]
    assert metric["Dimensions"] == [
        {"Name": "EndpointName", "Value": "sd-g5"},
        {"Name": "VariantName", "Value": "main"},
    ]
    start, end = aws.request["StartTime"], aws.request["EndTime"]
    sent = [datetime.fromisoformat(record.sent_at) for record in ran.results.requests]
    assert start <= min(sent)
    assert max(sent) + timedelta(seconds=1) <= end
    assert start.tzinfo == UTC


@pytest.mark.parametrize(
    ("aws", "reason"),
    [
        (FakeAws(served=False), "Refused: no such endpoint"),
        (FakeAws(empty=True), "CloudWatch holds no ModelLatency of sd-g5 at that time"),
    ],
)
def test_absent_is_null_with_the_reason(aws: FakeAws, reason: str, ran: Ran) -> None:
    with ResultsFile(ran.path, run_info()) as file:
        file.add_cloudwatch(collected(ran, aws))
    record = ran.results.cloudwatch["g5", "closed-1"]
    assert (record.minutes, record.reason) == (None, reason)
    figures = analyse(ran.results)
    assert figures[0].sagemaker_ms == {"ModelLatency": None, "OverheadLatency": None}
    assert f"No SageMaker latencies for g5: {reason}." in stages_table(figures, "said").notes


def test_the_last_reading_counts(ran: Ran) -> None:
    with ResultsFile(ran.path, run_info()) as file:
        file.add_cloudwatch(cloudwatch.unavailable(file.requests, "not yet"))
        file.add_cloudwatch(collected(ran, FakeAws()))
    figures = analyse(ran.results)
    assert figures[0].sagemaker_ms["ModelLatency"] == pytest.approx(600.0)
    assert figures[0].sagemaker_reason is None
