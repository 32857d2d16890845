"""AWS::ApplicationAutoScaling::ScalableTarget and ScalingPolicy for CloudFormation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from local_cloud.api_shapes import BadRequest, coerced_to, input_shape
from local_cloud.ministack.cloudformation import Properties, Provisioned, ResourceType, register

Call = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
KEY = ("ResourceId", "ScalableDimension", "ServiceNamespace")
SERVICE = "application-autoscaling"


def register_scaling_types(call: Call) -> None:
    """Add both; `call` answers the service's operations."""
    types = _ScalingTypes(call)
    register(
        ResourceType(
            name="AWS::ApplicationAutoScaling::ScalableTarget",
            create=lambda _name, props: types.put_target({}, props),
            update=lambda _id, old, new: types.put_target(old, new),
            delete=types.delete_target,
            replacing=KEY,
        ),
        ResourceType(
            name="AWS::ApplicationAutoScaling::ScalingPolicy",
            create=lambda _name, props: types.put_policy(props),
            update=lambda _id, _old, new: types.put_policy(new),
            delete=types.delete_policy,
            replacing=("PolicyName", "ScalingTargetId", *KEY),
        ),
    )


class _ScalingTypes:
    def __init__(self, call: Call) -> None:
        self._call = call

    def put_target(self, old: Properties, props: Properties) -> Provisioned:
        key = {name: props[name] for name in KEY}
        members = {name: value for name, value in props.items() if name != "ScheduledActions"}
        self._perform("RegisterScalableTarget", members)
        schedules = {one["ScheduledActionName"]: one for one in props.get("ScheduledActions") or ()}
        for action in schedules.values():
            self._perform("PutScheduledAction", {**key, **action})
        for action in old.get("ScheduledActions") or ():
            if (name := action["ScheduledActionName"]) not in schedules:
                self._perform("DeleteScheduledAction", {**key, "ScheduledActionName": name})
        physical_id = "|".join(key[name] for name in KEY)
        return physical_id, {"Id": physical_id}

    def delete_target(self, physical_id: str, _props: Properties) -> None:
        key = dict(zip(KEY, physical_id.split("|"), strict=True))
        self._perform("DeregisterScalableTarget", key, gone_is_done=True)

    def put_policy(self, props: Properties) -> Provisioned:
        answer = self._perform("PutScalingPolicy", policy_members(props))
        return answer["PolicyARN"], {"Arn": answer["PolicyARN"]}

    def delete_policy(self, _arn: str, props: Properties) -> None:
        members = policy_members(props)
        wanted = {name: members[name] for name in ("PolicyName", *KEY)}
        self._perform("DeleteScalingPolicy", wanted, gone_is_done=True)

    def _perform(
        self, operation: str, properties: Mapping[str, Any], *, gone_is_done: bool = False
    ) -> Mapping[str, Any]:
        try:
            return self._call(operation, coerced_to(input_shape(SERVICE, operation), properties))
        except BadRequest as error:
            if gone_is_done and error.code == "ObjectNotFoundException":
                return {}
            raise ValueError(str(error)) from error


def policy_members(props: Properties) -> dict[str, Any]:
    """PutScalingPolicy's: a policy names its target's parts, or the target's Ref."""
    members = {name: value for name, value in props.items() if name != "ScalingTargetId"}
    if target_id := props.get("ScalingTargetId"):
        members.update(zip(KEY, target_id.split("|"), strict=True))
    return members
