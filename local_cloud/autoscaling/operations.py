"""Application Auto Scaling's operations over scalable targets and what belongs to them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from local_cloud.api_shapes import BadRequest
from local_cloud.autoscaling.policies import (
    MEMBERS,
    TRACKING,
    checked_config,
    invalid,
    tracking_alarms,
)
from local_cloud.autoscaling.targets import (
    DIMENSION,
    NAMESPACE,
    Policy,
    ScheduledAction,
    Target,
)
from local_cloud.ministack.schedules import next_due
from local_cloud.settings import CloudSettings

Request = Mapping[str, Any]
Answer = dict[str, Any]
RESOURCE = re.compile(r"endpoint/[^/]+/variant/[^/]+")
SUSPENSIONS = (
    "DynamicScalingInSuspended",
    "DynamicScalingOutSuspended",
    "ScheduledScalingSuspended",
)
# iam:PassRole and who may create this role are the account's affair; CDK names it too.
SERVICE_ROLE = (
    "arn:aws:iam::{account}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)


class Capacities(Protocol):
    def capacity(self, endpoint: str, variant: str) -> int | None: ...


class PolicyAlarms(Protocol):
    """What policies need of CloudWatch."""

    def put(self, members: Mapping[str, Any]) -> None:
        """PutMetricAlarm."""

    def delete(self, names: Sequence[str]) -> None: ...

    def naming(self, arn: str) -> list[str]:
        """The names of the alarms that set this going."""

    def state(self, name: str) -> str | None:
        """None where there is no such alarm."""


class ScalingOperations:
    """The targets by their resource's id. `into_range` is what follows a change of bounds."""

    def __init__(
        self,
        settings: CloudSettings,
        variants: Capacities,
        alarms: PolicyAlarms,
        into_range: Callable[[Target], None],
    ) -> None:
        self._settings, self._variants, self._alarms = settings, variants, alarms
        self._into_range = into_range
        self._targets: dict[str, Target] = {}
        self.by_name: Mapping[str, Callable[[Request], Answer]] = {
            "RegisterScalableTarget": self._register,
            "DeregisterScalableTarget": self._deregister,
            "DescribeScalableTargets": self._describe_targets,
            "PutScalingPolicy": self._put_policy,
            "DeleteScalingPolicy": self._delete_policy,
            "DescribeScalingPolicies": self._describe_policies,
            "PutScheduledAction": self._put_schedule,
            "DeleteScheduledAction": self._delete_schedule,
            "DescribeScheduledActions": self._describe_schedules,
            "DescribeScalingActivities": self._describe_activities,
        }

    def all_targets(self) -> list[Target]:
        return list(self._targets.values())

    def scales(self, endpoint: str) -> bool:
        """Whether its variant is a target."""
        return any(target.variant[0] == endpoint for target in self.all_targets())

    def forget(self, endpoint: str) -> None:
        """What deleting an endpoint does to its targets (developer guide,
        endpoint-delete-with-scaling)."""
        for target in self.all_targets():
            if target.variant[0] == endpoint:
                self._remove(target)

    def _register(self, request: Request) -> Answer:
        resource_id = request["ResourceId"]
        if (request["ServiceNamespace"], request["ScalableDimension"]) != (NAMESPACE, DIMENSION):
            raise invalid(f"The local cloud scales {DIMENSION} alone.")
        if not RESOURCE.fullmatch(resource_id):
            raise invalid(f"Unsupported resource id: {resource_id}: endpoint/NAME/variant/NAME")
        target = self._targets.get(resource_id)
        bounds = (
            request.get("MinCapacity", target.minimum if target else None),
            request.get("MaxCapacity", target.maximum if target else None),
        )
        minimum, maximum = bounds
        if minimum is None or maximum is None:
            raise invalid("MinCapacity and MaxCapacity are required for a new scalable target.")
        if not 0 <= minimum <= maximum:
            raise invalid("Maximum capacity cannot be less than minimum capacity, nor that than 0.")
        if target is None:
            _, endpoint, _, variant = resource_id.split("/")
            if self._variants.capacity(endpoint, variant) is None:
                raise invalid(f"No endpoint variant in service: {resource_id}")
            arn = self._settings.arn(
                "application-autoscaling", f"scalable-target/{uuid.uuid4().hex}"
            )
            role = SERVICE_ROLE.format(account=self._settings.account)
            off = dict.fromkeys(SUSPENSIONS, False)
            target = Target(resource_id, arn, minimum, maximum, role, off)
            self._targets[resource_id] = target
        target.minimum, target.maximum = minimum, maximum
        target.suspended.update(request.get("SuspendedState") or {})
        self._into_range(target)
        return {"ScalableTargetARN": target.arn}

    def _deregister(self, request: Request) -> Answer:
        self._remove(self._target(request, "found"))
        return {}

    def _remove(self, target: Target) -> None:
        for policy in list(target.policies.values()):
            self._alarms.delete(policy.alarms)
        self._targets.pop(target.resource_id, None)

    def _target(self, request: Request, said: str = "registered") -> Target:
        if target := self._targets.get(request["ResourceId"]):
            return target
        raise _not_found(f"scalable target {said}", request)

    def _describe_targets(self, request: Request) -> Answer:
        wanted = request.get("ResourceIds")
        return {
            "ScalableTargets": [
                {
                    **target.key,
                    "MinCapacity": target.minimum,
                    "MaxCapacity": target.maximum,
                    "RoleARN": target.role_arn,
                    "CreationTime": target.created,
                    "SuspendedState": dict(target.suspended),
                    "ScalableTargetARN": target.arn,
                }
                for target in self.all_targets()
                if wanted is None or target.resource_id in wanted
            ]
        }

    def _put_policy(self, request: Request) -> Answer:
        target, name = self._target(request), request["PolicyName"]
        old = target.policies.get(name)
        kind = request.get("PolicyType") or (old.kind if old else "StepScaling")
        config = checked_config(kind, request)
        if old and old.kind != kind:
            raise invalid("The type of a scaling policy can't be changed.")
        arn = old.arn if old else self._policy_arn(target, name)
        policy = Policy(name, arn, kind, config)
        if kind == TRACKING:
            self._put_alarms(target, policy)
        if old:
            self._alarms.delete(old.alarms)
        target.policies[name] = policy
        return {"PolicyARN": arn, "Alarms": self._alarm_records(policy)}

    def _policy_arn(self, target: Target, name: str) -> str:
        resource = f"resource/{NAMESPACE}/{target.resource_id}:policyName/{name}"
        return self._settings.arn("autoscaling", f"scalingPolicy:{uuid.uuid4()}:{resource}")

    def _put_alarms(self, target: Target, policy: Policy) -> None:
        alarms = tracking_alarms(policy.config, *target.variant)
        for end, members in zip(("High", "Low"), alarms, strict=False):
            name = f"TargetTracking-{target.resource_id}-Alarm{end}-{uuid.uuid4()}"
            what = f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy.arn}."
            self._alarms.put(
                {**members, "AlarmName": name, "AlarmDescription": what,
                 "AlarmActions": [policy.arn]}
            )  # fmt: skip
            if end == "High":
                policy.high = name
            else:
                policy.low = name

    def _alarm_records(self, policy: Policy) -> list[dict[str, str]]:
        """Those it has made, and those of others that name it."""
        names = [*policy.alarms, *self._alarms.naming(policy.arn)]
        return [
            {"AlarmName": name, "AlarmARN": self._settings.arn("cloudwatch", f"alarm:{name}")}
            for name in dict.fromkeys(names)
        ]

    def _delete_policy(self, request: Request) -> Answer:
        target = self._targets.get(request["ResourceId"])
        policy = target.policies.pop(request["PolicyName"], None) if target else None
        if policy is None:
            name = f", policy name: {request['PolicyName']}"
            raise _not_found("scaling policy found", request, name)
        self._alarms.delete(policy.alarms)
        return {}

    def _describe_policies(self, request: Request) -> Answer:
        names = request.get("PolicyNames")
        return {
            "ScalingPolicies": [
                {
                    **target.key,
                    "PolicyARN": policy.arn,
                    "PolicyName": policy.name,
                    "PolicyType": policy.kind,
                    MEMBERS[policy.kind]: policy.config,
                    "Alarms": self._alarm_records(policy),
                    "CreationTime": policy.created,
                }
                for target in self._wanted(request)
                for policy in target.policies.values()
                if names is None or policy.name in names
            ]
        }

    def _wanted(self, request: Request) -> list[Target]:
        wanted = request.get("ResourceId")
        return [one for one in self.all_targets() if wanted in (None, one.resource_id)]

    def _put_schedule(self, request: Request) -> Answer:
        target, name = self._target(request), request["ScheduledActionName"]
        old = target.schedules.get(name)
        given = {**(old.request if old else {}), **request}
        bounds = given.get("ScalableTargetAction") or {}
        if not bounds or not given.get("Schedule"):
            raise invalid("A scheduled action needs a Schedule and a ScalableTargetAction.")
        if bounds.get("MinCapacity", 0) > bounds.get("MaxCapacity", bounds.get("MinCapacity", 0)):
            raise invalid("Maximum capacity cannot be less than minimum capacity.")
        try:
            due = next_due(given["Schedule"], given.get("Timezone", "UTC"), datetime.now(UTC))
        except ValueError as error:
            raise invalid(str(error)) from error
        resource = f"resource/{NAMESPACE}/{target.resource_id}:scheduledActionName/{name}"
        arn = self._settings.arn("autoscaling", f"scheduledAction:{uuid.uuid4()}:{resource}")
        target.schedules[name] = ScheduledAction(name, old.arn if old else arn, given, due)
        return {}

    def _delete_schedule(self, request: Request) -> Answer:
        target = self._targets.get(request["ResourceId"])
        if target is None or not target.schedules.pop(request["ScheduledActionName"], None):
            raise BadRequest(
                "ObjectNotFoundException",
                f"No scheduled action found for service namespace: {request['ServiceNamespace']}, "
                f"resource ID: {request['ResourceId']}, scheduled action name: "
                f"{request['ScheduledActionName']}",
            )
        return {}

    def _describe_schedules(self, request: Request) -> Answer:
        return {
            "ScheduledActions": [
                {
                    **action.request,
                    "ScheduledActionARN": action.arn,
                    "CreationTime": action.created,
                }
                for target in self._wanted(request)
                for action in target.schedules.values()
            ]
        }

    def _describe_activities(self, request: Request) -> Answer:
        return {
            "ScalingActivities": [
                activity for target in self._wanted(request) for activity in target.activities
            ]
        }


def _not_found(what: str, request: Request, more: str = "") -> BadRequest:
    """To be raised."""
    return BadRequest(
        "ObjectNotFoundException",
        f"No {what} for service namespace: {request['ServiceNamespace']}, resource ID: "
        f"{request['ResourceId']}, scalable dimension: {request['ScalableDimension']}{more}",
    )
