"""`rollout` of a kind or variant: how an update takes the traffic over to new containers."""

from collections.abc import Iterator
from dataclasses import dataclass

from stacks.settings.problems import Problem
from stacks.settings.reading import Where
from stacks.settings.rules import number, one_of, setting, whole
from stacks.settings.scaling import ScalingSettings

CANARY, LINEAR, ALL_AT_ONCE = ROLLOUTS = ("canary", "linear", "all-at-once")


@dataclass(frozen=True, kw_only=True)
class RolloutSettings:
    """`canary` gives new containers `percent` of the traffic and then all of it, `linear` so much
    more with each step. After each the alarms are watched for as long as the slowest takes to tell,
    and `watch_s` more: what begins by then goes back. `slow_factor` is how many times its norm the
    median latency of a minute may be."""

    type: str = setting(one_of(*ROLLOUTS))
    # SageMaker's range of a linear step; a canary may be smaller (botocore, TrafficRoutingConfig).
    percent: int = setting(whole(10, 50))
    # Ten steps of it, and the start of the containers, stay within SageMaker's eight hours.
    watch_s: int = setting(whole(60, 1_500))
    slow_factor: float = setting(number(0.1, 100))

    def problems(self, where: Where, scaling: ScalingSettings) -> Iterator[Problem]:
        """A part of the traffic goes to a part of the instances, at most half of them."""
        fewest = min([scaling.min_instances, *(each.min for each in scaling.schedule)])
        if self.type != ALL_AT_ONCE and fewest < 2:
            allowed = f"{ALL_AT_ONCE} with fewer than 2 instances (scaling.min_instances, schedule)"
            yield Problem(where("type"), self.type, allowed)
