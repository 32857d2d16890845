"""Application Auto Scaling: its operations, and what alarms and schedules make it do.

The clock of cooldowns is AWS's (`CloudSettings.time_scale`), that of schedules is the day's.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from local_cloud.api_shapes import BadRequest, check_request
from local_cloud.autoscaling.operations import PolicyAlarms, ScalingOperations
from local_cloud.autoscaling.policies import (
    STEPS,
    TRACKING,
    capacity_by_steps,
    capacity_by_target,
)
from local_cloud.autoscaling.targets import DEFAULT_COOLDOWN_S, Policy, Target
from local_cloud.ministack.identity import repeat_in_account, run_in_account
from local_cloud.ministack.schedules import next_due
from local_cloud.settings import CloudSettings

Alarm = Mapping[str, Any]
POLICY_ARN = "arn:aws:autoscaling:"


class Variants(Protocol):
    """What is scaled."""

    def capacity(self, endpoint: str, variant: str) -> int | None:
        """The desired one; None where there is no such variant in service."""

    def set_capacity(self, endpoint: str, variant: str, capacity: int) -> Callable[[], str]:
        """Begin; what is given waits for the end and says why it came to nothing, or "".
        BadRequest."""


class AutoScaling:
    """`clock` is the epoch's."""

    def __init__(
        self,
        settings: CloudSettings,
        variants: Variants,
        alarms: PolicyAlarms,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._variants, self._alarms = settings, variants, alarms
        self._clock, self._second = clock, settings.time_scale
        self.operations = ScalingOperations(settings, variants, alarms, self._into_range)

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one operation; BadRequest is its error."""
        handler = self.operations.by_name.get(operation)
        if handler is None:
            raise BadRequest(
                "UnknownOperationException",
                f"The local cloud has no Application Auto Scaling {operation}",
            )
        check_request("application-autoscaling", operation, request)
        return handler(request)

    def start(self) -> Callable[[], None]:
        """Follow schedules from now on, until what is given is called; alarms come by
        `on_alarm`."""

        def turn() -> None:
            self.follow_schedules(datetime.fromtimestamp(self._clock(), UTC))

        return repeat_in_account(self._settings, turn, 1.0, "scheduled-scaling")

    def follow_schedules(self, now: datetime) -> None:
        """Do what is due, in its order."""
        due = [
            (action.due, target, action)
            for target in self.operations.all_targets()
            for action in list(target.schedules.values())
            if action.due is not None and action.due <= now
        ]
        for _, target, action in sorted(due, key=lambda one: one[0]):
            zone = action.request.get("Timezone", "UTC")
            action.due = next_due(action.request["Schedule"], zone, now)
            if target.suspended["ScheduledScalingSuspended"] or not action.lasts(now):
                continue
            bounds = action.request["ScalableTargetAction"]
            target.minimum = bounds.get("MinCapacity", target.minimum)
            target.maximum = bounds.get("MaxCapacity", target.maximum)
            self._into_range(target, f"scheduled action name {action.name} was triggered")

    def on_alarm(self, policy_arn: str, alarm: Alarm, value: float) -> None:
        """An alarm that is in the state for which it names the policy."""
        for target in self.operations.all_targets():
            for policy in list(target.policies.values()):
                if policy.arn == policy_arn:
                    self._scale_by(target, policy, alarm, value)

    def _scale_by(self, target: Target, policy: Policy, alarm: Alarm, value: float) -> None:
        current = self._variants.capacity(*target.variant)
        if current is None:
            return
        cooling = self._clock() < target.out_until
        if policy.kind == STEPS:
            # What the last scale-out has added counts toward the next one while it cools down.
            base = target.base if cooling else current
            wanted = capacity_by_steps(policy.config, base, value - float(alarm["Threshold"]))
        else:
            wanted = capacity_by_target(policy.config, current, value)
            # Each of its two alarms is for one direction.
            scales_in = alarm["AlarmName"] == policy.low
            if (wanted < current) != scales_in:
                return
            if scales_in and not self._all_ready_to_scale_in(target):
                return
        if wanted is None or (wanted := target.within(wanted)) == current:
            return
        out, suspended = wanted > current, target.suspended
        if suspended["DynamicScalingOutSuspended" if out else "DynamicScalingInSuspended"]:
            return
        if not out and (cooling or self._clock() < target.in_until):
            return
        cause = (
            f"monitor alarm {alarm['AlarmName']} in state {alarm['StateValue']} triggered policy "
            f"{policy.name}"
        )
        self._set(target, current, wanted, cause, cooldown_s(policy, out=out))

    def _all_ready_to_scale_in(self, target: Target) -> bool:
        """Every target tracking policy that may scale in has to want it."""
        lows = [policy.low for policy in target.policies.values() if policy.kind == TRACKING]
        return all(self._alarms.state(low) == "ALARM" for low in lows if low)

    def _into_range(self, target: Target, why: str = "") -> None:
        """Bring the capacity inside the bounds."""
        current = self._variants.capacity(*target.variant)
        if current is None or (wanted := target.within(current)) == current:
            return
        bound = "minimum" if wanted > current else "maximum"
        cause = f"{bound} capacity was set to {wanted}"
        self._set(target, current, wanted, f"{why} and {cause}" if why else cause, 0)

    def _set(self, target: Target, current: int, wanted: int, cause: str, cool_s: int) -> None:
        activity: dict[str, Any] = {
            **target.key,
            "ActivityId": str(uuid.uuid4()),
            "Description": f"Setting desired instance count to {wanted}.",
            "Cause": cause,
            "StartTime": time.time(),
            "StatusCode": "InProgress",
            "StatusMessage": f"Successfully set desired instance count to {wanted}. Waiting for "
            "change to be fulfilled by sagemaker.",
        }
        target.activities.insert(0, activity)
        try:
            finish = self._variants.set_capacity(*target.variant, wanted)
        except BadRequest as error:
            activity.update(StatusCode="Failed", StatusMessage=str(error), EndTime=time.time())
            return
        if wanted > current:
            target.base, target.in_until = current, 0.0
            target.out_until = self._clock() + cool_s * self._second

        def work() -> None:
            reason = finish()
            # A scale-in cools down from its end on.
            if wanted < current:
                target.in_until = self._clock() + cool_s * self._second
            done = (
                f"Failed to set desired instance count to {wanted}: {reason}"
                if reason
                else f"Successfully set desired instance count to {wanted}. Change successfully "
                "fulfilled by sagemaker."
            )
            activity.update(
                StatusCode="Failed" if reason else "Successful",
                StatusMessage=done,
                EndTime=time.time(),
            )

        run_in_account(self._settings, work, "scaling-activity")


def cooldown_s(policy: Policy, *, out: bool) -> int:
    member = "Cooldown"
    if policy.kind == TRACKING:
        member = "ScaleOutCooldown" if out else "ScaleInCooldown"
    return int(policy.config.get(member, DEFAULT_COOLDOWN_S))
