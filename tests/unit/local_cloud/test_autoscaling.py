"""Application Auto Scaling's operations and decisions, over variants that are only a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from local_cloud.api_shapes import BadRequest
from local_cloud.autoscaling.cloudformation import _ScalingTypes
from local_cloud.autoscaling.service import AutoScaling
from local_cloud.settings import CloudSettings
from tests.fakes.local_account import wait_for
from tests.fakes.scaling import BACKLOG, CONCURRENCY, steps

RESOURCE = "endpoint/e/variant/v"
KEY = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": RESOURCE,
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
WAKE = {**steps("ChangeInCapacity", (0, None, 1)), "Cooldown": 300}
WOKEN_BY = {"AlarmName": "wake", "StateValue": "ALARM", "Threshold": 1.0}


class Fleet:
    """`instances` of variant v of endpoint e."""

    def __init__(self, instances: int) -> None:
        self.instances, self.busy, self.failure = instances, False, ""

    def capacity(self, endpoint: str, variant: str) -> int | None:
        return self.instances if (endpoint, variant) == ("e", "v") else None

    def set_capacity(self, _endpoint: str, _variant: str, capacity: int) -> Callable[[], str]:
        if self.busy:
            raise BadRequest("ValidationException", "Cannot update in-progress endpoint")
        if not self.failure:
            self.instances = capacity
        return lambda: self.failure


class Alarms:
    def __init__(self) -> None:
        self.made: dict[str, Mapping[str, Any]] = {}
        self.states: dict[str, str] = {}

    def put(self, members: Mapping[str, Any]) -> None:
        self.made[members["AlarmName"]] = members

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            del self.made[name]

    def naming(self, arn: str) -> list[str]:
        return [name for name, alarm in self.made.items() if arn in alarm["AlarmActions"]]

    def state(self, name: str) -> str | None:
        return self.states.get(name)


class Scaled:
    """A registered variant, its alarms and the clock, in AWS's seconds."""

    def __init__(self, state: Path, instances: int, bounds: tuple[int, int] = (0, 5)) -> None:
        self.fleet, self.alarms, self.now = Fleet(instances), Alarms(), 1000.0
        settings = CloudSettings(port=1, state=state, time_scale=1.0)
        self.service = AutoScaling(settings, self.fleet, self.alarms, lambda: self.now)
        self.register(*bounds)

    def register(self, minimum: int, maximum: int, **more: Any) -> None:
        bounds = {"MinCapacity": minimum, "MaxCapacity": maximum}
        self.call("RegisterScalableTarget", **bounds, **more)

    def call(self, operation: str, **members: Any) -> dict[str, Any]:
        return self.service.call(operation, {**KEY, **members})

    def policy(self, name: str, kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
        member = f"{kind}PolicyConfiguration"
        return self.call("PutScalingPolicy", PolicyName=name, PolicyType=kind, **{member: config})

    def alarm(self, policy: Mapping[str, Any], end: str, value: float) -> None:
        """The policy's own alarm at that end has gone off."""
        (name,) = (
            one["AlarmName"] for one in policy["Alarms"] if f"Alarm{end}" in one["AlarmName"]
        )
        self.alarms.states[name] = "ALARM"
        alarm = {**self.alarms.made[name], "StateValue": "ALARM"}
        self.service.on_alarm(policy["PolicyARN"], alarm, value)
        self.activities(settled=True)

    def activities(self, *, settled: bool = False) -> list[dict[str, Any]]:
        def found() -> list[dict[str, Any]]:
            members = {"ServiceNamespace": "sagemaker", "ResourceId": RESOURCE}
            answer = self.service.call("DescribeScalingActivities", members)
            return list(answer["ScalingActivities"])

        if settled:
            wait_for(lambda: all(one["StatusCode"] != "InProgress" for one in found()))
        return found()


def test_registering_brings_the_capacity_within_the_bounds(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path, instances=1, bounds=(2, 5))
    assert scaled.fleet.instances == 2
    scaled.register(1, 1)
    assert scaled.fleet.instances == 1
    activities = scaled.activities(settled=True)
    assert [one["Cause"] for one in activities] == [
        "maximum capacity was set to 1",
        "minimum capacity was set to 2",
    ]
    assert {one["StatusCode"] for one in activities} == {"Successful"}


def test_from_zero_one_step_a_cooldown_however_long_the_alarm_lasts(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path, instances=0)
    arn = scaled.policy("wake", "StepScaling", WAKE)["PolicyARN"]
    for _ in range(3):
        scaled.service.on_alarm(arn, WOKEN_BY, 1.0)
        scaled.now += 60
    assert scaled.fleet.instances == 1
    scaled.now += 300
    scaled.service.on_alarm(arn, WOKEN_BY, 1.0)
    assert scaled.fleet.instances == 2


def test_target_tracking_scales_out_at_once_and_in_after_its_cooldown(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path, instances=1)
    cooldowns = {"ScaleOutCooldown": 60, "ScaleInCooldown": 300}
    policy = scaled.policy("track", "TargetTrackingScaling", {**BACKLOG, **cooldowns})
    scaled.alarm(policy, "High", 12)
    assert scaled.fleet.instances == 3
    scaled.alarm(policy, "Low", 1)
    assert scaled.fleet.instances == 3
    scaled.now += 61
    scaled.alarm(policy, "Low", 4)
    assert scaled.fleet.instances == 3
    scaled.alarm(policy, "Low", 1)
    assert scaled.fleet.instances == 1
    scaled.alarm(policy, "Low", 0)
    assert scaled.fleet.instances == 1
    # More load ends a scale-in's cooldown.
    scaled.alarm(policy, "High", 100)
    assert scaled.fleet.instances == 5
    scaled.now += 301
    scaled.alarm(policy, "Low", 0)
    assert scaled.fleet.instances == 0


def test_a_backlog_below_the_target_leaves_an_endpoint_at_zero(tmp_path: Path) -> None:
    """What wakes it is a policy of its own; target tracking does above its target."""
    scaled = Scaled(tmp_path, instances=0)
    policy = scaled.policy("track", "TargetTrackingScaling", BACKLOG)
    scaled.alarm(policy, "Low", 4)
    assert scaled.fleet.instances == 0
    scaled.alarm(policy, "High", 6)
    assert scaled.fleet.instances == 2


def test_it_scales_in_when_every_policy_wants_it(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path, instances=3, bounds=(1, 5))
    backlog = scaled.policy("backlog", "TargetTrackingScaling", BACKLOG)
    concurrency = scaled.policy("concurrency", "TargetTrackingScaling", CONCURRENCY)
    scaled.alarm(backlog, "Low", 0)
    assert scaled.fleet.instances == 3
    scaled.alarm(concurrency, "Low", 0)
    assert scaled.fleet.instances == 1


def test_while_an_endpoint_is_updated_scaling_fails_and_says_so(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path, instances=0)
    arn = scaled.policy("wake", "StepScaling", WAKE)["PolicyARN"]
    scaled.fleet.busy = True
    scaled.service.on_alarm(arn, WOKEN_BY, 1.0)
    assert scaled.activities()[0]["StatusCode"] == "Failed"
    scaled.fleet.busy = False
    scaled.service.on_alarm(arn, WOKEN_BY, 1.0)
    assert scaled.fleet.instances == 1


def test_instances_that_do_not_come_are_told(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path, instances=0)
    arn = scaled.policy("wake", "StepScaling", WAKE)["PolicyARN"]
    scaled.fleet.failure = "InsufficientInstanceCapacity"
    scaled.service.on_alarm(arn, WOKEN_BY, 1.0)
    (activity,) = scaled.activities(settled=True)
    assert activity["StatusCode"] == "Failed"
    assert "InsufficientInstanceCapacity" in activity["StatusMessage"]
    assert activity["Cause"] == "monitor alarm wake in state ALARM triggered policy wake"


def test_what_is_suspended_does_nothing(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path, instances=1)
    policy = scaled.policy("track", "TargetTrackingScaling", BACKLOG)
    scaled.register(0, 5, SuspendedState={"DynamicScalingOutSuspended": True})
    scaled.alarm(policy, "High", 100)
    assert scaled.fleet.instances == 1


def test_office_hours_set_the_bounds(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path, instances=1, bounds=(1, 1))
    for name, hour, bounds in (("open", 8, (2, 4)), ("close", 18, (1, 1))):
        scaled.call(
            "PutScheduledAction",
            ScheduledActionName=name,
            Schedule=f"cron(0 {hour} ? * MON-FRI *)",
            Timezone="Europe/Berlin",
            ScalableTargetAction=dict(zip(("MinCapacity", "MaxCapacity"), bounds, strict=True)),
        )
    (registered,) = scaled.service.operations.all_targets()
    opens = registered.schedules["open"].due
    assert opens
    scaled.service.follow_schedules(opens)
    assert scaled.fleet.instances == 2
    (target,) = scaled.call("DescribeScalableTargets")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 4)
    assert scaled.activities()[0]["Cause"] == (
        "scheduled action name open was triggered and minimum capacity was set to 2"
    )


@pytest.mark.parametrize(
    ("operation", "members", "message"),
    [
        ("RegisterScalableTarget", {"MinCapacity": 3, "MaxCapacity": 2}, "cannot be less than min"),
        (
            "RegisterScalableTarget",
            {"ResourceId": "endpoint/x/variant/v"},
            "are required for a new",
        ),
        (
            "RegisterScalableTarget",
            {"ResourceId": "endpoint/x/variant/v", "MinCapacity": 1, "MaxCapacity": 2},
            "No endpoint variant in service",
        ),
        ("RegisterScalableTarget", {"ResourceId": "service/x"}, "Unsupported resource id"),
        ("RegisterScalableTarget", {"ServiceNamespace": "ecs"}, "scales sagemaker:variant"),
        ("RegisterScalableTarget", {"ServiceNamespace": "eks"}, "Member must satisfy enum"),
        (
            "PutScheduledAction",
            {
                "ScheduledActionName": "s",
                "Schedule": "cron(nonsense)",
                "ScalableTargetAction": {"MinCapacity": 1},
            },
            "Invalid schedule expression",
        ),
        ("GetPredictiveScalingForecast", {}, "The local cloud has no Application Auto Scaling Get"),
    ],
)
def test_a_wrong_request_is_refused(
    tmp_path: Path, operation: str, members: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        Scaled(tmp_path, instances=1).call(operation, **members)


def test_what_is_not_registered_is_not_found(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path, instances=1)
    scaled.call("DeregisterScalableTarget")
    with pytest.raises(BadRequest, match="No scalable target registered for service namespace: sa"):
        scaled.policy("wake", "StepScaling", WAKE)
    with pytest.raises(BadRequest, match="No scalable target found"):
        scaled.call("DeregisterScalableTarget")


def test_deregistering_takes_policies_schedules_and_alarms_along(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path, instances=1)
    scaled.policy("track", "TargetTrackingScaling", BACKLOG)
    assert len(scaled.alarms.made) == 2
    scaled.call("DeregisterScalableTarget")
    assert not scaled.alarms.made
    members = {"ServiceNamespace": "sagemaker"}
    assert scaled.service.call("DescribeScalingPolicies", members) == {"ScalingPolicies": []}


def test_a_policy_put_again_keeps_its_arn_and_has_new_alarms(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path, instances=1)
    before = scaled.policy("track", "TargetTrackingScaling", BACKLOG)
    after = scaled.policy("track", "TargetTrackingScaling", {**BACKLOG, "TargetValue": 7.0})
    assert before["PolicyARN"] == after["PolicyARN"]
    assert {alarm["Threshold"] for alarm in scaled.alarms.made.values()} == {7.0, 7.0 * 0.9}


def test_cloudformation_makes_changes_and_destroys_targets_and_policies(tmp_path: Path) -> None:
    scaled = Scaled(tmp_path, instances=1)
    scaled.call("DeregisterScalableTarget")
    types = _ScalingTypes(scaled.service.call)
    action = {
        "ScheduledActionName": "open",
        "Schedule": "cron(0 8 ? * MON-FRI *)",
        "ScalableTargetAction": {"MinCapacity": "1"},
    }
    target = {**KEY, "MinCapacity": "1", "MaxCapacity": "3", "ScheduledActions": [action]}
    physical_id, attributes = types.put_target({}, target)
    assert attributes == {"Id": physical_id}
    types.put_target(target, {**target, "MaxCapacity": "4", "ScheduledActions": []})
    (described,) = scaled.call("DescribeScalableTargets")["ScalableTargets"]
    assert described["MaxCapacity"] == 4
    assert scaled.call("DescribeScheduledActions") == {"ScheduledActions": []}

    policy = {
        "PolicyName": "track",
        "PolicyType": "TargetTrackingScaling",
        "ScalingTargetId": physical_id,
        "TargetTrackingScalingPolicyConfiguration": {**BACKLOG, "TargetValue": "5"},
    }
    arn, _ = types.put_policy(policy)
    assert arn.startswith("arn:aws:autoscaling:us-east-1:000000000000:scalingPolicy:")
    # As where deleting the endpoint has taken them along already.
    types.delete_target(physical_id, target)
    types.delete_policy(arn, policy)
    types.delete_target(physical_id, target)
    with pytest.raises(ValueError, match="extraneous key"):
        types.put_target({}, {**target, "Nonsense": math.inf})
