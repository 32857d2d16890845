"""How an update moves an endpoint's traffic from one fleet to the next (DeploymentConfig)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_cloud.sagemaker.resources import invalid

# The sizes that a step may have, in percent of the new fleet (botocore, TrafficRoutingConfig).
SIZES = {"CANARY": ("CanarySize", 0, 50), "LINEAR": ("LinearStepSize", 10, 50)}


@dataclass(frozen=True)
class TrafficShift:
    """Seconds are AWS's. `shares` of the traffic go to the new fleet, one after the other and for
    `wait_s` each; the last is all of it, and the old fleet stays for `termination_s` more."""

    shares: tuple[float, ...] = (1.0,)
    wait_s: float = 0.0
    termination_s: float = 0.0


def traffic_shift(deployment: Mapping[str, Any], instances: int) -> TrafficShift:
    """What a DeploymentConfig asks for with a new fleet of so many instances. BadRequest."""
    if "RollingUpdatePolicy" in deployment:
        raise invalid("The local cloud updates endpoints by a BlueGreenUpdatePolicy alone.")
    policy = deployment.get("BlueGreenUpdatePolicy")
    if policy is None:
        return TrafficShift()
    routing = policy["TrafficRoutingConfiguration"]
    shares = _shares(routing, instances)
    shift = TrafficShift(
        shares, routing["WaitIntervalInSeconds"], policy.get("TerminationWaitInSeconds", 0)
    )
    waits_s = shift.wait_s * (len(shares) - 1) + shift.termination_s
    limit_s = policy.get("MaximumExecutionTimeoutInSeconds")
    if limit_s is not None and limit_s <= waits_s:
        # botocore: it "should be larger than the total waiting time". Nothing here takes longer.
        raise invalid(
            f"MaximumExecutionTimeoutInSeconds, {limit_s}, must be larger than the total waiting "
            f"time, {waits_s:g}."
        )
    return shift


def _shares(routing: Mapping[str, Any], instances: int) -> tuple[float, ...]:
    """Traffic goes to whole instances. How part of one is rounded isn't published, nor what becomes
    of an endpoint with one: here up, and refused, since that one is more than half."""
    kind = routing["Type"]
    for other, (member, _, _) in SIZES.items():
        if (member in routing) != (other == kind):
            raise invalid(
                f"{member} must be given with a traffic routing of {other}, and no other."
            )
    if kind not in SIZES:
        return (1.0,)
    member, least, most = SIZES[kind]
    size = routing[member]
    percent = size["Type"] == "CAPACITY_PERCENT"
    step = math.ceil(instances * size["Value"] / 100) if percent else size["Value"]
    asked = size["Value"] if percent else 100 * step / instances
    if not least <= asked <= most or step >= instances:
        raise invalid(
            f"{member} must be {f'{least}-' if least else 'at most '}{most}% of the variant's "
            f"total instance count: {size['Value']} ({size['Type']}) of {instances} is not."
        )
    if kind == "CANARY":
        return (step / instances, 1.0)
    return tuple(min(1.0, n * step / instances) for n in range(1, math.ceil(instances / step) + 1))
