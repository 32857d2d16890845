"""SageMaker's latencies: read by the minute, or null with the reason."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmark.report.analysis import analyse
from benchmark.report.tables import stages_table
from benchmark.run import cloudwatch
from benchmark.run.load import closed
from benchmark.run.records import CloudWatchRecord, ResultsFile
from tests.fakes.benchmark import FakeApi, Ran, prompts, run_info, run_session


class ServedOnMain:
    def describe_endpoint(self, **request: Any) -> dict[str, Any]:
        assert request["EndpointName"].startswith("sd-")
        return {"ProductionVariants": [{"VariantName": "main"}]}


class FakeCloudWatch:
    """Two minutes, in two pages; microseconds, as SageMaker reports them."""

    def __init__(self, empty: bool = False) -> None:
        self.empty = empty
        self.requests: list[dict[str, Any]] = []

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if self.empty:
            return {"MetricDataResults": []}
        second = "NextToken" in request
        moment = request["StartTime"] + timedelta(minutes=int(second))
        values = {
            "modellatency": 800_000.0 if second else 500_000.0,
            "overheadlatency": 20_000.0,
            "count": 1.0 if second else 2.0,
        }
        series = [
            {"Id": query["Id"], "Timestamps": [moment], "Values": [values[query["Id"]]]}
            for query in request["MetricDataQueries"]
        ]
        return {"MetricDataResults": series} | ({} if second else {"NextToken": "2"})


class Refused(Exception):
    pass


class NotServed:
    def describe_endpoint(self, **_: Any) -> dict[str, Any]:
        raise Refused("no such endpoint")


@pytest.fixture
def ran(tmp_path: Path) -> Ran:
    return run_session(tmp_path, FakeApi(), [closed(1)], prompts(3), warm_up=1)


def collected(
    ran: Ran,
    metrics: FakeCloudWatch | None = None,
    sagemaker: cloudwatch.SageMakerClient | None = None,
) -> list[CloudWatchRecord]:
    return cloudwatch.collect(
        ran.results.requests, metrics or FakeCloudWatch(), sagemaker or ServedOnMain(), (Refused,)
    )


def test_minutes_in_milliseconds_weighted_by_their_requests(ran: Ran) -> None:
    client = FakeCloudWatch()
    (record,) = collected(ran, client)
    assert (record.model, record.phase, record.reason) == ("g5", "closed-1", None)
    assert record.minutes is not None
    first, second = record.minutes.values()
    assert first == {"ModelLatency": 500.0, "OverheadLatency": 20.0, "count": 2.0}
    assert second["ModelLatency"] == 800.0
    assert cloudwatch.weighted_mean(record, "ModelLatency") == pytest.approx(600.0)
    metric = client.requests[0]["MetricDataQueries"][0]["MetricStat"]["Metric"]
    assert metric["Dimensions"] == [
        {"Name": "EndpointName", "Value": "sd-g5"},
        {"Name": "VariantName", "Value": "main"},
    ]


def test_the_window_holds_every_request(ran: Ran) -> None:
    client = FakeCloudWatch()
    collected(ran, client)
    start, end = client.requests[0]["StartTime"], client.requests[0]["EndTime"]
    sent = [datetime.fromisoformat(record.sent_at) for record in ran.results.requests]
    assert start <= min(sent)
    assert max(sent) + timedelta(seconds=1) <= end
    assert start.tzinfo == UTC


@pytest.mark.parametrize(
    ("sagemaker", "empty", "reason"),
    [
        (NotServed(), False, "Refused: no such endpoint"),
        (ServedOnMain(), True, "CloudWatch holds no ModelLatency of sd-g5 at that time"),
    ],
)
def test_absent_is_null_with_the_reason(
    sagemaker: cloudwatch.SageMakerClient, empty: bool, reason: str, ran: Ran
) -> None:
    found = collected(ran, FakeCloudWatch(empty), sagemaker)
    with ResultsFile(ran.path, run_info()) as file:
        file.add_cloudwatch(found)
    record = ran.results.cloudwatch["g5", "closed-1"]
    assert (record.minutes, record.reason) == (None, reason)
    figures = analyse(ran.results)
    assert figures[0].sagemaker_ms == {"ModelLatency": None, "OverheadLatency": None}
    assert f"No SageMaker latencies for g5: {reason}." in stages_table(figures, "said").notes


def test_the_last_reading_counts(ran: Ran) -> None:
    with ResultsFile(ran.path, run_info()) as file:
        file.add_cloudwatch(cloudwatch.unavailable(file.requests, "not yet"))
        file.add_cloudwatch(collected(ran))
    figures = analyse(ran.results)
    assert figures[0].sagemaker_ms["ModelLatency"] == pytest.approx(600.0)
    assert figures[0].sagemaker_reason is None
