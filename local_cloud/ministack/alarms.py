"""CloudWatch's metric alarms as AWS evaluates them.

MiniStack looks at an alarm when a metric comes in, at all series of that metric's name and at once.
Here an alarm sees the series with its own dimensions alone, in whole periods, each a while after it
is over, once a minute (AWS's minutes: `CloudSettings.time_scale` says how long one is here).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ministack.services import cloudwatch

from local_cloud.settings import CloudSettings

Alarm = Mapping[str, Any]
Points = Sequence[Mapping[str, Any]]

# What a metric of one minute's frequency takes to be there (docs.datadoghq.com,
# cloud-metric-delay).
METRIC_DELAY_S = 120
# How often an alarm of a minute or more is evaluated, and how many periods more than it needs are
# fetched, since some may have no data (CloudWatch user guide, alarm evaluation: 5 for 3).
EVALUATION_S = 60
FURTHER_PERIODS = 2
# The one kind of alarm that the app has.
KIND = {
    "Statistic": "Sum",
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "TreatMissingData": "notBreaching",
}


def evaluated_state(alarm: Alarm, points: Points, now: float, second: float = 1.0) -> str:
    """The alarm's state at `now`, in seconds since the epoch. `second` is the length of AWS's.
    ValueError for an alarm of another kind.

    `points` are what MiniStack keeps of the series.
    """
    if any(alarm.get(name) != value for name, value in KIND.items()):
        raise ValueError(f"{alarm.get('AlarmName')}: only alarms with {KIND} can be had here")
    period = alarm["Period"] * second
    wanted = int(alarm["EvaluationPeriods"])
    newest = int((now - METRIC_DELAY_S * second) // period)  # the one not over and there yet
    sums: list[float] = []
    for number in range(newest - 1, newest - 1 - wanted - FURTHER_PERIODS, -1):
        inside = [p["Value"] for p in points if number <= p["Timestamp"] / period < number + 1]
        if inside and len(sums) < wanted:
            sums.append(sum(inside))
    breaching = sum(found >= float(alarm["Threshold"]) for found in sums)
    return "ALARM" if breaching >= wanted else "OK"


class Alarms:
    """The account's alarms, evaluated when somebody looks at them. `clock` is the epoch's."""

    def __init__(self, settings: CloudSettings, clock: Callable[[], float] = time.time) -> None:
        self._second, self._clock = settings.time_scale, clock
        self._evaluated: dict[str, int] = {}

    def install(self) -> None:
        """In place of MiniStack's own evaluation."""
        cloudwatch._evaluate_alarm = self.evaluate
        describe = cloudwatch._describe_alarms

        def described(*arguments: Any) -> Any:
            cloudwatch._evaluate_all_alarms()
            return describe(*arguments)

        cloudwatch._describe_alarms = described

    def state(self, name: str) -> str | None:
        """None where there is no such alarm."""
        alarm = cloudwatch._alarms.get(name)
        if alarm is None:
            return None
        self.evaluate(alarm)
        return str(alarm["StateValue"])

    def evaluate(self, alarm: dict[str, Any]) -> None:
        """Enter the state that the last whole minute has brought. What SetAlarmState has set stays
        until the next one, and what an alarm is made with until the first."""
        minute = int(self._clock() // (EVALUATION_S * self._second))
        if self._evaluated.setdefault(alarm["AlarmName"], minute) == minute:
            return
        self._evaluated[alarm["AlarmName"]] = minute
        series = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm.get("Dimensions") or []))
        points = cloudwatch._metrics.get((alarm["Namespace"], alarm["MetricName"], series)) or []
        now = minute * EVALUATION_S * self._second
        old, new = alarm["StateValue"], evaluated_state(alarm, points, now, self._second)
        if old == new:
            return
        reason = f"Threshold Crossed: {alarm['MetricName']} is {new} at {now:.0f}"
        alarm.update(StateValue=new, StateReason=reason, StateUpdatedTimestamp=int(now))
        cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
        cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
        cloudwatch._evaluate_parent_alarms(alarm)
