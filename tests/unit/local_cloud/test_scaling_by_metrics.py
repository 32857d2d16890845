"""Endpoints that scale by their own metrics on the local cloud, from templates as on AWS."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from tests.fakes.asynchronous_toy import AsyncToy
from tests.fakes.local_account import allow, arn, client_of_user, let_user, wait_for
from tests.fakes.scaling import CONCURRENCY
from tests.fakes.toy_endpoint import PRODUCTION_VARIANT, ToyEndpoint

SCALING = "AWS::ApplicationAutoScaling"


def template(endpoint: str, bounds: tuple[int, int], **further: Any) -> str:
    """A scalable target by the name Target, and `further` resources."""
    target = {
        "Type": f"{SCALING}::ScalableTarget",
        "Properties": {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
            "MinCapacity": bounds[0],
            "MaxCapacity": bounds[1],
            "RoleARN": arn("iam", "role/service-linked"),
        },
    }
    return json.dumps({"Resources": {"Target": target, **further}})


def policy(name: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "Type": f"{SCALING}::ScalingPolicy",
        "Properties": {
            "PolicyName": name,
            "PolicyType": kind,
            "ScalingTargetId": {"Ref": "Target"},
            f"{kind}PolicyConfiguration": config,
        },
    }


def by_backlog(endpoint: str) -> dict[str, Any]:
    """As the developer guide has it (async-inference-autoscale)."""
    dimensions = [{"Name": "EndpointName", "Value": endpoint}]
    step = {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}
    wake = {"AdjustmentType": "ChangeInCapacity", "Cooldown": 300, "StepAdjustments": [step]}
    track = {
        "TargetValue": 5,
        "ScaleInCooldown": 60,
        "CustomizedMetricSpecification": {
            "Namespace": "AWS/SageMaker",
            "MetricName": "ApproximateBacklogSizePerInstance",
            "Dimensions": dimensions,
            "Statistic": "Average",
        },
    }
    alarm = {
        "Namespace": "AWS/SageMaker",
        "MetricName": "HasBacklogWithoutCapacity",
        "Dimensions": dimensions,
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 2,
        "DatapointsToAlarm": 2,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "missing",
        "AlarmActions": [{"Ref": "Wake"}],
    }
    return {
        "Wake": policy("wake", "StepScaling", wake),
        "Track": policy("track", "TargetTrackingScaling", track),
        "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm},
    }


def deploy(cloud: ChildCloud, stack: str, body: str) -> None:
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(StackName=stack, TemplateBody=body)
    wait_for(lambda: status(cloud, stack) in ("CREATE_COMPLETE", "ROLLBACK_COMPLETE"))
    assert status(cloud, stack) == "CREATE_COMPLETE"


def status(cloud: ChildCloud, stack: str) -> str:
    described = cloud.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return str(described["StackStatus"])


def causes(cloud: ChildCloud) -> list[str]:
    scaling = cloud.client("application-autoscaling")
    found = scaling.describe_scaling_activities(ServiceNamespace="sagemaker")
    return [activity["Cause"] for activity in found["ScalingActivities"]]


@pytest.mark.usefixtures("toy")
def test_an_idle_endpoint_goes_to_zero_a_request_wakes_it_and_it_goes_back(
    cloud: ChildCloud,
) -> None:
    endpoint = AsyncToy(cloud, "wakes")
    endpoint.create_async()
    deploy(cloud, "wakes", template("wakes", (0, 2), **by_backlog("wakes")))
    wait_for(lambda: endpoint.instances() == (0, 0))

    endpoint.send("wake", {})
    assert endpoint.told()["invocationStatus"] == "Completed"
    # A toy's start can outlast AWS's cooldown, as time is counted here: then it is woken again.
    assert endpoint.instances()[1] >= 1
    wait_for(lambda: endpoint.instances() == (0, 0))
    assert any("triggered policy wake" in cause for cause in causes(cloud))

    cloud.client("cloudformation").delete_stack(StackName="wakes")
    wait_for(lambda: not targets(cloud, "wakes"))
    left = cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix="TargetTracking-endpoint/w")
    assert left["MetricAlarms"] == []
    endpoint.delete()


def targets(cloud: ChildCloud, endpoint: str) -> list[Any]:
    scaling = cloud.client("application-autoscaling")
    resources = [f"endpoint/{endpoint}/variant/AllTraffic"]
    found = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=resources)
    return list(found["ScalableTargets"])


def test_concurrent_requests_bring_a_second_instance(cloud: ChildCloud) -> None:
    endpoint = ToyEndpoint(cloud, "crowded")
    endpoint.create()
    config = {**CONCURRENCY, "ScaleInCooldown": 60, "ScaleOutCooldown": 60}
    track = policy("track", "TargetTrackingScaling", config)
    deploy(cloud, "crowded", template("crowded", (1, 2), Track=track))

    quiet = threading.Event()

    def crowd() -> None:
        while not quiet.is_set():
            endpoint.invoke(sleep=0.3)

    callers = [threading.Thread(target=crowd) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        wait_for(lambda: endpoint.instances() == (2, 2))
    finally:
        quiet.set()
        for caller in callers:
            caller.join()
    wait_for(lambda: endpoint.instances() == (1, 1))
    # The count is there before the change is over, and while one is, every update is refused.
    endpoint.settled()

    refuse_what_scaling_forbids(cloud, endpoint)
    cloud.client("cloudformation").delete_stack(StackName="crowded")
    wait_for(lambda: "crowded" not in str(stacks(cloud)))


def stacks(cloud: ChildCloud) -> list[str]:
    listed = cloud.client("cloudformation").list_stacks(
        StackStatusFilter=["CREATE_COMPLETE", "DELETE_IN_PROGRESS", "DELETE_FAILED"]
    )
    return [stack["StackName"] for stack in listed["StackSummaries"]]


def refuse_what_scaling_forbids(cloud: ChildCloud, endpoint: ToyEndpoint) -> None:
    """Another instance type, and a deletion by someone who may not deregister; afterwards the
    stack of what the deletion has taken along can still be deleted."""
    other = {**PRODUCTION_VARIANT, "ModelName": endpoint.name, "InstanceType": "ml.g5.2xlarge"}
    endpoint.sagemaker.create_endpoint_config(
        EndpointConfigName=f"{endpoint.name}-other", ProductionVariants=[other]
    )
    with pytest.raises(ClientError, match="is a target for automatic scaling"):
        endpoint.sagemaker.update_endpoint(
            EndpointName=endpoint.name, EndpointConfigName=f"{endpoint.name}-other"
        )

    deletes = allow("sagemaker:DeleteEndpoint", arn("sagemaker", f"endpoint/{endpoint.name}"))
    sagemaker = client_of_user(cloud, "deletes", "sagemaker", deletes)
    with pytest.raises(ClientError, match="does not have application-autoscaling:Deregister"):
        sagemaker.delete_endpoint(EndpointName=endpoint.name)
    let_user(cloud, "deletes", deletes, allow("application-autoscaling:DeregisterScalableTarget"))
    sagemaker.delete_endpoint(EndpointName=endpoint.name)
    assert targets(cloud, endpoint.name) == []
