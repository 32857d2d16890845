"""SageMaker's latencies: read by the minute, or null with the reason."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmark import cloudwatch
from benchmark.analysis import analyse
from benchmark.detail_tables import stages_table
from benchmark.load import closed
from benchmark.records import RequestRecord, ResultsFile, read_results
from tests.benchmark_fakes import FakeApi, prompts, run_info, run_session


class FakeSageMaker:
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


class RefusingSageMaker:
    def describe_endpoint(self, **_: Any) -> dict[str, Any]:
        raise Refused("no such endpoint")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    run_session(
        tmp_path / "r.jsonl",
        FakeApi(variants=("g5",)),
        [closed(1)],
        prompt_set=prompts(3),
        warm_up=1,
    )
    return tmp_path / "r.jsonl"


def requests(path: Path) -> list[RequestRecord]:
    return read_results(path).requests


def test_minutes_in_milliseconds_weighted_by_their_requests(path: Path) -> None:
    client = FakeCloudWatch()
    (record,) = cloudwatch.collect(requests(path), client, FakeSageMaker(), (Refused,))
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


def test_the_window_holds_every_request(path: Path) -> None:
    client = FakeCloudWatch()
    records = requests(path)
    cloudwatch.collect(records, client, FakeSageMaker(), (Refused,))
    start, end = client.requests[0]["StartTime"], client.requests[0]["EndTime"]
    sent = [datetime.fromisoformat(record.sent_at) for record in records]
    assert start <= min(sent)
    assert max(sent) + timedelta(seconds=1) <= end
    assert start.tzinfo == UTC


@pytest.mark.parametrize(
    ("sagemaker", "empty", "reason"),
    [
        (RefusingSageMaker(), False, "Refused: no such endpoint"),
        (FakeSageMaker(), True, "CloudWatch holds no ModelLatency of sd-g5 at that time"),
    ],
)
def test_absent_is_null_with_the_reason(
    sagemaker: cloudwatch.SageMakerClient, empty: bool, reason: str, path: Path
) -> None:
    found = cloudwatch.collect(requests(path), FakeCloudWatch(empty), sagemaker, (Refused,))
    with ResultsFile(path, run_info()) as results:
        results.add_cloudwatch(found)
    results_again = read_results(path)
    record = results_again.cloudwatch["g5", "closed-1"]
    assert (record.minutes, record.reason) == (None, reason)
    figures = analyse(results_again, 10.0, {})
    assert figures[0].sagemaker_ms == {"ModelLatency": None, "OverheadLatency": None}
    assert f"No SageMaker latencies for g5: {reason}." in stages_table(figures, "said").notes


def test_the_last_reading_counts(path: Path) -> None:
    with ResultsFile(path, run_info()) as results:
        results.add_cloudwatch(cloudwatch.unavailable(results.requests, "not yet"))
        results.add_cloudwatch(
            cloudwatch.collect(results.requests, FakeCloudWatch(), FakeSageMaker(), (Refused,))
        )
    figures = analyse(read_results(path), 10.0, {})
    assert figures[0].sagemaker_ms["ModelLatency"] == pytest.approx(600.0)
    assert figures[0].sagemaker_reason is None
