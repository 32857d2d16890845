"""Scalable targets: what is scaled, between which bounds, by which policies and schedules."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
NAMESPACE = "sagemaker"
# For SageMaker's variants (user guide, define cooldown periods).
DEFAULT_COOLDOWN_S = 300


@dataclass
class Policy:
    """`config` is its StepScalingPolicyConfiguration or TargetTrackingScalingPolicyConfiguration,
    `alarms` the names of those that it has made itself."""

    name: str
    arn: str
    kind: str
    config: Mapping[str, Any]
    high: str | None = None
    low: str | None = None
    created: float = field(default_factory=time.time)

    @property
    def alarms(self) -> list[str]:
        return [name for name in (self.high, self.low) if name]


@dataclass
class ScheduledAction:
    name: str
    arn: str
    request: Mapping[str, Any]
    due: datetime | None
    created: float = field(default_factory=time.time)

    def lasts(self, now: datetime) -> bool:
        """Whether `now` is between its StartTime and its EndTime."""
        begin, end = (self._moment(name) for name in ("StartTime", "EndTime"))
        return not ((begin and now < begin) or (end and now > end))

    def _moment(self, member: str) -> datetime | None:
        """A request carries seconds since the epoch, a template the date."""
        value = self.request.get(member)
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return None if value is None else datetime.fromtimestamp(float(value), UTC)


@dataclass
class Target:
    """`base` is the capacity before the last scale-out; the cooldowns end at `out_until` and
    `in_until`, in seconds since the epoch."""

    resource_id: str
    arn: str
    minimum: int
    maximum: int
    role_arn: str
    suspended: dict[str, bool]
    policies: dict[str, Policy] = field(default_factory=dict)
    schedules: dict[str, ScheduledAction] = field(default_factory=dict)
    activities: list[dict[str, Any]] = field(default_factory=list)
    created: float = field(default_factory=time.time)
    base: int = 0
    out_until: float = 0.0
    in_until: float = 0.0

    @property
    def variant(self) -> tuple[str, str]:
        """The endpoint's name and its production variant's."""
        _, endpoint, _, variant = self.resource_id.split("/")
        return endpoint, variant

    @property
    def key(self) -> dict[str, str]:
        """The members by which every answer names it."""
        return {
            "ServiceNamespace": NAMESPACE,
            "ResourceId": self.resource_id,
            "ScalableDimension": DIMENSION,
        }

    def within(self, capacity: int) -> int:
        return max(self.minimum, min(self.maximum, capacity))
