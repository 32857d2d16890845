"""How an update moves traffic on the local cloud: all at once, by a canary, step by step."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.api_shapes import BadRequest
from local_cloud.child import ChildCloud
from local_cloud.sagemaker.traffic import TrafficShift, traffic_shift
from tests.fakes.local_account import wait_for
from tests.fakes.toy_endpoint import ToyEndpoint

OLD, NEW = {"TOY": "old"}, {"TOY": "new"}
TWO = {"InitialInstanceCount": 2}
REQUESTS_PER_S = 5


def shifting(kind: str, size: tuple[str, int] | None = None, **policy: int) -> dict[str, Any]:
    """A DeploymentConfig; a `size` is of so many percent or instances."""
    routing: dict[str, Any] = {"Type": kind, "WaitIntervalInSeconds": policy.pop("wait_s", 600)}
    if size:
        member = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}[kind]
        routing[member] = {"Type": size[0], "Value": size[1]}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **policy}}


def percent(value: int) -> tuple[str, int]:
    return "CAPACITY_PERCENT", value


def instances(value: int) -> tuple[str, int]:
    return "INSTANCE_COUNT", value


@pytest.mark.parametrize(
    ("kind", "size", "fleet", "shares"),
    [
        ("ALL_AT_ONCE", None, 1, (1.0,)),
        ("CANARY", percent(25), 4, (0.25, 1.0)),
        ("CANARY", percent(10), 2, (0.5, 1.0)),
        ("CANARY", instances(1), 3, (1 / 3, 1.0)),
        ("LINEAR", percent(50), 2, (0.5, 1.0)),
        ("LINEAR", percent(30), 10, (0.3, 0.6, 0.9, 1.0)),
    ],
)
def test_traffic_goes_over_by_whole_instances(
    kind: str, size: tuple[str, int] | None, fleet: int, shares: tuple[float, ...]
) -> None:
    asked = shifting(kind, size, wait_s=300, TerminationWaitInSeconds=60)
    assert traffic_shift(asked, fleet) == TrafficShift(shares, 300, 60)


def test_without_a_policy_all_of_it_goes_over_at_once() -> None:
    assert traffic_shift({}, 1) == TrafficShift((1.0,), 0, 0)


@pytest.mark.parametrize(
    ("deployment", "fleet", "said"),
    [
        (shifting("CANARY"), 2, "CanarySize must be given"),
        (shifting("LINEAR"), 2, "LinearStepSize must be given"),
        (shifting("CANARY", percent(60)), 10, "CanarySize must be at most 50%"),
        (shifting("CANARY", percent(10)), 1, "10 (CAPACITY_PERCENT) of 1 is not"),
        (shifting("CANARY", instances(2)), 3, "2 (INSTANCE_COUNT) of 3 is not"),
        (shifting("LINEAR", percent(5)), 20, "LinearStepSize must be 10-50%"),
        (shifting("LINEAR", instances(1)), 20, "LinearStepSize must be 10-50%"),
        (
            shifting("LINEAR", percent(50), wait_s=600, MaximumExecutionTimeoutInSeconds=600),
            2,
            "600, must be larger than the total waiting time, 600",
        ),
        ({"RollingUpdatePolicy": {}}, 2, "BlueGreenUpdatePolicy alone"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused(
    deployment: dict[str, Any], fleet: int, said: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        traffic_shift(deployment, fleet)
    assert said in str(caught.value)


def test_a_refused_update_leaves_the_endpoint_as_it_is(cloud: ChildCloud) -> None:
    endpoint = ToyEndpoint(cloud, "alone")
    endpoint.create(Environment=OLD)
    with pytest.raises(ClientError, match="CanarySize must be at most 50%"):
        endpoint.update("-new", shifting("CANARY", percent(10)), Environment=NEW)
    assert endpoint.status() == "InService"


def test_a_canary_has_its_share_until_its_time_is_over(cloud: ChildCloud) -> None:
    endpoint = ToyEndpoint(cloud, "canary")
    endpoint.create(variant=TWO, Environment=OLD)

    endpoint.update(
        "-new", shifting("CANARY", percent(50), wait_s=600), variant=TWO, Environment=NEW
    )
    wait_for(lambda: endpoint.invoke()["toy"] == "new")
    seen: Counter[str] = Counter()
    while True:
        answered = endpoint.invoke()["toy"]
        if endpoint.status() != "Updating":
            break
        seen[answered] += 1
    # Six standard deviations, of however many this machine sends in that time.
    assert abs(seen["new"] - seen.total() / 2) <= 3 * seen.total() ** 0.5

    assert endpoint.settled()["EndpointConfigName"] == "canary-new"
    assert {endpoint.invoke()["toy"] for _ in range(20)} == {"new"}


@contextmanager
def client(endpoint: ToyEndpoint) -> Iterator[list[str]]:
    """Sends REQUESTS_PER_S; what the answers said, errors included."""
    said: list[str] = []
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(1 / REQUESTS_PER_S):
            try:
                said.append(endpoint.invoke()["toy"])
            except ClientError as error:
                said.append(str(error))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield said
    finally:
        ended.set()
        thread.join()


def test_a_client_sees_nothing_of_an_update_to_a_model_that_can_t_be_served(
    cloud: ChildCloud,
) -> None:
    endpoint = ToyEndpoint(cloud, "unharmed")
    endpoint.create(variant=TWO, Environment=OLD)
    with client(endpoint) as said:
        canary = shifting("CANARY", percent(50))
        endpoint.update("-bad", canary, variant=TWO, Environment={"TOY": "broken"})
        described = endpoint.settled()
        wait_for(lambda: len(said) > REQUESTS_PER_S)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == (
        "InService",
        "unharmed",
    )
    assert "did not pass the ping health check" in described["FailureReason"]
    assert set(said) == {"old"}


def of_fleet(config: str) -> list[dict[str, str]]:
    values = {
        "EndpointName": config.split("-")[0],
        "VariantName": "AllTraffic",
        "EndpointConfigName": config,
    }
    return [{"Name": name, "Value": value} for name, value in values.items()]


def watched_by(deployment: dict[str, Any], *alarms: str) -> dict[str, Any]:
    named = [{"AlarmName": name} for name in alarms]
    return {**deployment, "AutoRollbackConfiguration": {"Alarms": named}}


def test_a_slower_model_is_sent_back_by_its_canary(cloud: ChildCloud) -> None:
    """While a client, whom a few answers took longer, sees no error."""
    endpoint = ToyEndpoint(cloud, "slower")
    endpoint.create(variant=TWO, Environment=OLD)
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName="slower-new-slow",
        Namespace="AWS/SageMaker",
        MetricName="ModelLatency",
        Dimensions=of_fleet("slower-new"),
        ExtendedStatistic="p50",
        Period=60,
        EvaluationPeriods=2,
        Threshold=0.25e6,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
    )
    with client(endpoint) as said:
        canary = watched_by(shifting("CANARY", percent(50), wait_s=3600), "slower-new-slow")
        endpoint.update("-new", canary, variant=TWO, Environment={**NEW, "SLOW": "0.5"})
        described = endpoint.settled()
        assert set(said) == {"old", "new"}
        said.clear()
        wait_for(lambda: len(said) > REQUESTS_PER_S)
    assert "Alarm slower-new-slow is in ALARM" in described["FailureReason"]
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "slower")
    # One may have been on its way.
    assert set(said[1:]) == {"old"}


def alarm(name: str, metrics: list[tuple[str, str]], expression: str) -> dict[str, Any]:
    """A template's, on three of a minute."""
    dimensions = of_fleet(name.rsplit("-", 1)[0])
    queries: list[dict[str, Any]] = [
        {
            "Id": id,
            "ReturnData": False,
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SageMaker",
                    "MetricName": metric,
                    "Dimensions": dimensions,
                },
                "Period": 60,
                "Stat": "Sum",
            },
        }
        for id, metric in metrics
    ]
    properties = {
        "AlarmName": name,
        "Metrics": [{"Id": "sought", "Expression": expression, "ReturnData": True}, *queries],
        "EvaluationPeriods": 1,
        "Threshold": 3,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
    }
    return {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}


ERRORS = [
    ("errors", "InvocationModelErrors"),
    ("client", "Invocation4XXErrors"),
    ("server", "Invocation5XXErrors"),
]


def stack_of(cloud: ChildCloud, name: str, resource: dict[str, Any]) -> str:
    """Its status, once there is one that lasts."""
    cloudformation = cloud.client("cloudformation")
    template = json.dumps({"Resources": {"Alarm": resource}})
    cloudformation.create_stack(StackName=name, TemplateBody=template)

    def status() -> str:
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        return str(found["StackStatus"])

    wait_for(lambda: not status().endswith("_IN_PROGRESS"))
    return status()


def test_requests_without_an_answer_are_told_from_those_that_fail(cloud: ChildCloud) -> None:
    """By InvocationModelErrors less both of the others; a time-out has no status."""
    endpoint = ToyEndpoint(cloud, "mute")
    endpoint.create(Environment=OLD)
    name = "mute-new-unanswered"
    made = stack_of(cloud, "mute", alarm(name, ERRORS, "errors - client - server"))
    assert made == "CREATE_COMPLETE"
    endpoint.update(
        "-new", watched_by(shifting("ALL_AT_ONCE", TerminationWaitInSeconds=3600), name),
        Environment=NEW,
    )  # fmt: skip
    wait_for(lambda: endpoint.invoke()["toy"] == "new")
    for _ in range(10):
        for status in (400, 500):
            with pytest.raises(ClientError):
                endpoint.invoke(status=status)
    cloudwatch = cloud.client("cloudwatch")
    (described,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert described["StateValue"] != "ALARM"

    def unanswered() -> None:
        with pytest.raises(ClientError, match="timed out"):
            endpoint.invoke(sleep=2.5)

    with ThreadPoolExecutor(5) as pool:
        for asked in [pool.submit(unanswered) for _ in range(5)]:
            asked.result()
    failed = endpoint.settled()
    assert failed["EndpointConfigName"] == "mute"
    assert f"Alarm {name} is in ALARM" in failed["FailureReason"]


def test_an_alarm_on_anything_but_a_difference_is_refused(cloud: ChildCloud) -> None:
    other = alarm("x-y", ERRORS, "errors / client")
    assert stack_of(cloud, "quotient", other).startswith("ROLLBACK")


def test_what_an_old_fleet_is_about_when_it_ends_is_answered(cloud: ChildCloud) -> None:
    endpoint = ToyEndpoint(cloud, "drained")
    endpoint.create(Environment=OLD)
    answers: list[str] = []
    # Longer than a toy's start, and so much less than an invocation may take that a busy machine's
    # delays don't make a time-out of it.
    asked = threading.Thread(target=lambda: answers.append(endpoint.invoke(sleep=1)["toy"]))
    asked.start()
    endpoint.update("-new", shifting("ALL_AT_ONCE"), Environment=NEW)
    asked.join()
    assert answers == ["old"]
    assert endpoint.settled()["EndpointConfigName"] == "drained-new"
