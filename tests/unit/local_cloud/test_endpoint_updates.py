"""How an endpoint's update ends on the local cloud: alarms, baking, SageMaker's own rollback."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from tests.fakes.local_account import log_lines, wait_for
from tests.fakes.processes import alive
from tests.fakes.toy_endpoint import ToyEndpoint

OLD, NEW = {"TOY": "old"}, {"TOY": "new"}


def deployment(*alarms: str, baking_s: int = 3600) -> dict[str, Any]:
    policy = {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
        "TerminationWaitInSeconds": baking_s,
    }
    names = [{"AlarmName": name} for name in alarms]
    return {
        "BlueGreenUpdatePolicy": policy,
        **({"AutoRollbackConfiguration": {"Alarms": names}} if names else {}),
    }


def watch(endpoint: ToyEndpoint, name: str, **dimensions: str) -> None:
    """An alarm on three answers of 5xx in a minute."""
    values = {"EndpointName": endpoint.name, "VariantName": "AllTraffic", **dimensions}
    endpoint.cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": key, "Value": value} for key, value in values.items()],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=3,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
    )


def in_alarm(endpoint: ToyEndpoint, name: str) -> bool:
    described = endpoint.cloud.client("cloudwatch").describe_alarms(AlarmNames=[name])
    return bool(described["MetricAlarms"][0]["StateValue"] == "ALARM")


def fails(endpoint: ToyEndpoint) -> None:
    with pytest.raises(ClientError):
        endpoint.invoke(status=500)


def test_an_update_whose_new_fleet_fails_goes_back_while_it_bakes(cloud: ChildCloud) -> None:
    endpoint = ToyEndpoint(cloud, "bakes")
    endpoint.create(Environment=OLD)
    watch(endpoint, "bakes-new", EndpointConfigName="bakes-new")

    endpoint.update("-new", deployment("bakes-new"), Environment=NEW)
    wait_for(lambda: endpoint.invoke()["toy"] == "new")
    assert endpoint.status() == "Updating"
    while endpoint.status() == "Updating":
        fails(endpoint)

    described = endpoint.settled()
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "bakes")
    assert "Alarm bakes-new is in ALARM" in described["FailureReason"]
    assert endpoint.invoke()["toy"] == "old"


def test_an_alarm_on_both_fleets_keeps_a_failing_endpoint_from_its_fix(cloud: ChildCloud) -> None:
    """Which one on the new fleet, or no alarm at all, does not."""
    endpoint = ToyEndpoint(cloud, "failing")
    endpoint.create(Environment=OLD)
    watch(endpoint, "failing-both")
    watch(endpoint, "failing-fix", EndpointConfigName="failing-fix")

    def failing() -> bool:
        fails(endpoint)
        return in_alarm(endpoint, "failing-both")

    wait_for(failing)
    endpoint.update("-refused", deployment("failing-both"), Environment=NEW)
    described = endpoint.settled()
    assert described["EndpointConfigName"] == "failing"
    assert "Alarm failing-both is in ALARM" in described["FailureReason"]

    wait_for(failing)
    endpoint.update("-fix", deployment("failing-fix", baking_s=60), Environment=NEW)
    assert endpoint.settled()["EndpointConfigName"] == "failing-fix"

    wait_for(failing)
    endpoint.update("-unwatched", deployment(baking_s=0), Environment=OLD)
    assert endpoint.settled()["EndpointConfigName"] == "failing-unwatched"


def test_the_execution_role_has_to_see_the_alarms(cloud: ChildCloud) -> None:
    endpoint = ToyEndpoint(cloud, "blind")
    endpoint.create(Environment=OLD)
    watch(endpoint, "blind-alarm")

    endpoint.update("-new", deployment("blind-alarm"), role="bare", Environment=NEW)

    described = endpoint.settled()
    assert described["EndpointConfigName"] == "blind"
    assert "not authorized to perform: cloudwatch:DescribeAlarms" in described["FailureReason"]


def test_a_log_group_that_is_gone_is_made_again_only_by_a_role_that_may(cloud: ChildCloud) -> None:
    logs = cloud.client("logs")

    def groups(name: str) -> list[str]:
        found = logs.describe_log_groups(logGroupNamePrefix=f"/aws/sagemaker/Endpoints/{name}")
        return [group["logGroupName"].rsplit("/", 1)[1] for group in found["logGroups"]]

    makes, bare = ToyEndpoint(cloud, "makes"), ToyEndpoint(cloud, "doesnt")
    assert makes.create(Environment=OLD)["EndpointStatus"] == "InService"
    assert bare.create(role="bare", Environment=OLD)["EndpointStatus"] == "InService"
    makes.invoke()
    bare.invoke()
    # A container's line takes its own way into the log, and may come after its answer.
    wait_for(lambda: (groups("makes"), groups("doesnt")) == (["makes"], []))

    logs.create_log_group(logGroupName="/aws/sagemaker/Endpoints/doesnt")
    bare.invoke()
    written = partial(log_lines, cloud, "/aws/sagemaker/Endpoints/doesnt")
    wait_for(lambda: any("POST /invocations" in line for line in written()))
    for name in ("makes", "doesnt"):
        logs.delete_log_group(logGroupName=f"/aws/sagemaker/Endpoints/{name}")
    makes.invoke()
    bare.invoke()
    wait_for(lambda: (groups("makes"), groups("doesnt")) == (["makes"], []))


def test_a_deleted_endpoint_stops_both_fleets_of_an_update(cloud: ChildCloud) -> None:
    endpoint = ToyEndpoint(cloud, "both")
    endpoint.create(Environment=OLD)
    pids = [endpoint.invoke()["pid"]]
    endpoint.update("-new", deployment(), Environment=NEW)
    pids.append(wait_for(lambda: (facts := endpoint.invoke())["toy"] == "new" and facts["pid"]))

    endpoint.delete()

    assert wait_for(lambda: not any(map(alive, pids)))
