"""`scaling`, `async` and `bulk` of a kind or variant: how many instances make its pictures, and
when."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

from stacks.settings.problems import Problem
from stacks.settings.reading import Where
from stacks.settings.rules import Rule, flag, number, optional, setting, text, whole

INSTANCES = whole(1, 100)
SOME_OR_NONE = whole(0, 100)
COOL_DOWN_S = whole(0, 3_600)
# Of its days, one says which and the other is "?" (user guide, scheduled-scaling-using-cron).
CRON = text(r"\S+ \S+ (\? \S+ [^?\s]+|[^?\s]+ \S+ \?) \S+", 'six fields, one of the days "?"')
SCHEDULE_EXAMPLE = {"cron": "0 8 ? * MON-FRI *", "timezone": "Europe/Vienna", "min": 2, "max": 4}


@dataclass(frozen=True)
class Scheduled:
    """From that time on, `min` to `max` instances, or with 0 and 0 none: the endpoint is stopped.
    `cron` has Application Auto Scaling's six fields, which are EventBridge Scheduler's."""

    cron: str
    timezone: str
    min: int
    max: int


def _scheduled(value: Mapping[str, Any]) -> Scheduled:
    if not isinstance(value, Mapping) or value.keys() != SCHEDULE_EXAMPLE.keys():
        raise TypeError
    least, most = SOME_OR_NONE.parse(value["min"]), SOME_OR_NONE.parse(value["max"])
    if least > most or (most and not least) or value["timezone"] not in available_timezones():
        raise ValueError
    return Scheduled(CRON.parse(value["cron"]), value["timezone"], least, most)


def _schedule(value: object) -> tuple[Scheduled, ...]:
    items = json.loads(value or "[]") if isinstance(value, str) else value
    if not isinstance(items, list):
        raise TypeError
    return tuple(map(_scheduled, items))


SCHEDULE = Rule(
    f"a list of objects such as {json.dumps(SCHEDULE_EXAMPLE)}: {CRON.allowed}, an IANA time "
    f"zone, and min at most max, each {INSTANCES.allowed}, or both 0",
    _schedule,
)


@dataclass(frozen=True, kw_only=True)
class ScalingSettings:
    """Of the real-time endpoint. With `max_instances` at `min_instances` it doesn't scale, but for
    what `schedule` says; else to `target_concurrency` requests at an instance, those waiting in it
    included. After a change it waits for `scale_out_s` or `scale_in_s`: a new instance takes its
    minutes to answer, and one that went is missed for as long. Where the schedule has zeros it
    stops and starts the endpoint, which then can't scale: SageMaker forgets how as it goes
    (developer guide, endpoint-delete-with-scaling).

    SageMaker changes the instance type of an endpoint that doesn't scale alone (developer guide,
    endpoint-scaling-update): that takes two deploys, the first with scaling off.
    """

    min_instances: int = setting(INSTANCES)
    max_instances: int = setting(INSTANCES)
    target_concurrency: float = setting(number(0.1, 1_000))
    scale_in_s: int = setting(COOL_DOWN_S)
    scale_out_s: int = setting(COOL_DOWN_S)
    schedule: tuple[Scheduled, ...] = setting(SCHEDULE)

    @property
    def by_load(self) -> bool:
        return self.max_instances > self.min_instances

    @property
    def stops(self) -> bool:
        """Whether the schedule stops the endpoint."""
        return any(each.max == 0 for each in self.schedule)

    @property
    def on(self) -> bool:
        return self.by_load or (bool(self.schedule) and not self.stops)

    def problems(self, where: Where) -> Iterator[Problem]:
        if self.max_instances < self.min_instances:
            allowed = f"at least {where('min_instances')}, which is {self.min_instances}"
            yield Problem(where("max_instances"), self.max_instances, allowed)
        only = (self.min_instances, self.max_instances)
        ranges = {(each.min, each.max) for each in self.schedule if each.max}
        if self.stops and (self.by_load or ranges - {only}):
            allowed = (
                f"with zeros, which stop the endpoint, min and max else {self.min_instances}, as "
                f"{where('min_instances')} and {where('max_instances')}: SageMaker forgets how one "
                "that is stopped scales"
            )
            yield Problem(where("schedule"), [vars(each) for each in self.schedule], allowed)


@dataclass(frozen=True, kw_only=True)
class AsyncSettings:
    """The asynchronous endpoint has no instance while nothing waits, and up to `max_instances` for
    `backlog_per_instance` requests each. `scale_in_s` is as that of `scaling`, and `scale_out_s` is
    the same: an instance takes as long to answer."""

    max_instances: int = setting(INSTANCES)
    backlog_per_instance: float = setting(number(0.1, 10_000))
    scale_in_s: int = setting(COOL_DOWN_S)


@dataclass(frozen=True, kw_only=True)
class BulkSettings:
    """A training job for each large batch, with up to `instances`, on `spot` capacity or not, for
    `max_hours` of running at most. Its price is that of one instance on demand: SageMaker bills
    what spot saves as fewer seconds."""

    instance_type: str
    instances: int = setting(INSTANCES)
    spot: bool = setting(flag())
    # Service Quotas, "Longest run time for a training job": 432,000 s unless raised.
    max_hours: int = setting(whole(1, 120))
    # SageMaker's own range (botocore, ResourceConfig.VolumeSizeInGB), from what an artifact takes.
    volume_gb: int = setting(whole(30, 16_384))
    price_usd_per_hour: float | None = setting(optional(number(0.001, 1_000)))
