"""CloudWatch's metric alarms as AWS evaluates them, and what they set going.

MiniStack looks at an alarm when a metric comes in, at all series of that metric's name and at once.
Here an alarm sees the series with its own dimensions alone, in whole periods, each a while after it
is over, once a minute (AWS's minutes: `CloudSettings.time_scale` says how long one is here).
"""

from __future__ import annotations

import operator
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

from local_cloud.ministack.identity import repeat_in_account
from local_cloud.ministack.telemetry import HIGH_RESOLUTION_S
from local_cloud.ministack.topics import where_topics_let
from local_cloud.settings import CloudSettings

Alarm = Mapping[str, Any]
Points = Sequence[Mapping[str, Any]]
Action = Callable[[str, Alarm, float], None]
"""(the action's ARN, the alarm, the metric's newest value)"""

# What a metric of one minute's frequency takes to be there (docs.datadoghq.com,
# cloud-metric-delay). Of one that comes every ten seconds no source says it: one period.
METRIC_DELAY_S = 120
HIGH_RESOLUTION_DELAY_S = HIGH_RESOLUTION_S
# How often an alarm of a minute or more is evaluated, and how many periods more than it needs are
# fetched, since some may have no data (CloudWatch user guide, alarm evaluation: 5 for 3).
EVALUATION_S = 60
FURTHER_PERIODS = 2
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
ACTIONS = {
    "ALARM": "AlarmActions",
    "OK": "OKActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}


def check_kind(alarm: Alarm) -> None:
    """ValueError for an alarm on a band."""
    if alarm.get("ComparisonOperator") not in COMPARISONS or not alarm.get("MetricName"):
        raise ValueError(
            f"{alarm.get('AlarmName')}: only alarms on one metric with one of "
            f"{', '.join(COMPARISONS)} can be had here"
        )


def metrics_of_difference(metrics: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of an alarm that calculates, the MetricStats of its one expression: the first one less the
    others (CloudWatch user guide, using-metric-math). ValueError for any other expression, and
    where the periods aren't the same."""
    (expression,) = (each["Expression"] for each in metrics if "Expression" in each)
    by_id = {each["Id"]: each["MetricStat"] for each in metrics if "MetricStat" in each}
    names = expression.split(" - ")
    if not by_id.keys() >= {*names} or len({int(each["Period"]) for each in by_id.values()}) > 1:
        raise ValueError(f"{expression}: only a - b - c, of metrics of one period, can be had here")
    return [by_id[name] for name in names]


def evaluated_values(
    alarm: Alarm, points: Points, now: float, second: float = 1.0
) -> list[float | None]:
    """The statistic in each period of the range that the alarm looks at, newest first, at `now` in
    seconds since the epoch; None without data. `second` is the length of AWS's.

    `points` are what MiniStack keeps of the series, oldest first.
    """
    period = alarm["Period"] * second
    delay_s = METRIC_DELAY_S if alarm["Period"] >= EVALUATION_S else HIGH_RESOLUTION_DELAY_S
    newest = int((now - delay_s * second) // period)  # the one not over and there yet
    oldest = newest - int(alarm["EvaluationPeriods"]) - FURTHER_PERIODS
    inside: dict[int, list[Mapping[str, Any]]] = {}
    for point in reversed(points):
        number = int(point["Timestamp"] // period)
        if number < oldest:
            break
        inside.setdefault(number, []).append(point)
    statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]

    def value(found: list[Mapping[str, Any]]) -> float:
        return float(cloudwatch._stat_value(cloudwatch._calc_stats(found), statistic, found))

    return [
        value(inside[number]) if number in inside else None
        for number in range(newest - 1, oldest - 1, -1)
    ]


def evaluated_state(alarm: Alarm, points: Points, now: float, second: float = 1.0) -> str:
    """The alarm's state, by the same arguments as `evaluated_values` (CloudWatch user guide, how
    alarms treat missing data: only where the range has fewer data points than the alarm needs)."""
    return state_by(alarm, evaluated_values(alarm, points, now, second))


def state_by(alarm: Alarm, values: Sequence[float | None]) -> str:
    """The alarm's state by its `evaluated_values`."""
    wanted = int(alarm["EvaluationPeriods"])
    needed = int(alarm.get("DatapointsToAlarm") or wanted)
    found = [value for value in values if value is not None][:wanted]
    beyond, threshold = COMPARISONS[alarm["ComparisonOperator"]], float(alarm["Threshold"])
    breaching = sum(beyond(value, threshold) for value in found)
    if missing := wanted - len(found):
        match alarm.get("TreatMissingData", "missing"):
            case "ignore":
                return str(alarm["StateValue"])
            case "breaching":
                breaching += missing
            case "missing" if not found:
                return "INSUFFICIENT_DATA"
            case "missing" if breaching == len(found) < needed:
                # "Premature": only once the oldest is as old as the alarm needs data points.
                old_enough = any(value is not None for value in values[needed - 1 :])
                return "ALARM" if old_enough else str(alarm["StateValue"])
    return "ALARM" if breaching >= needed else "OK"


def current_values(alarm: Alarm, now: float, second: float) -> list[float | None]:
    """`evaluated_values` of what MiniStack has. What is calculated has a value in the periods in
    which all of its metrics have one."""
    if not alarm.get("Metrics"):
        return evaluated_values(alarm, series_of(alarm), now, second)
    columns = [
        evaluated_values(one, series_of(one), now, second)
        for each in metrics_of_difference(alarm["Metrics"])
        for one in [{**alarm, "Statistic": each["Stat"], **each["Metric"]}]
    ]
    return [_difference(values) for values in zip(*columns, strict=True)]


def _difference(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return found[0] - sum(found[1:]) if len(found) == len(values) else None


class Alarms:
    """The account's alarms, evaluated when somebody looks at them, and all of them once in AWS's
    ten seconds after `start`. `clock` is the epoch's."""

    def __init__(self, settings: CloudSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._second, self._clock = settings, settings.time_scale, clock
        self._evaluated: dict[str, int] = {}
        self._calculated: dict[str, Sequence[Mapping[str, Any]]] = {}
        self._acted: dict[str, tuple[str, float]] = {}
        self._actions: dict[str, Action] = {}
        self._lock = threading.RLock()

    def install(self) -> None:
        """In place of MiniStack's own evaluation."""
        cloudwatch._evaluate_alarm = self._made
        cloudwatch._dispatch_alarm_actions = where_topics_let(
            self._settings, cloudwatch._dispatch_alarm_actions
        )
        describe, put = cloudwatch._describe_alarms, provisioners._cw_metric_alarm_put

        def put_calculated(name: str, properties: Mapping[str, Any]) -> Any:
            """MiniStack refuses an alarm that calculates: it gets one on the first metric."""
            if metrics := properties.get("Metrics"):
                first = metrics_of_difference(metrics)[0]
                self._calculated[name] = metrics
                alone = {key: value for key, value in properties.items() if key != "Metrics"}
                properties = {**alone, **first["Metric"], "Period": first["Period"]}
            return put(name, properties)

        def described(*arguments: Any) -> Any:
            self.evaluate_all()
            return describe(*arguments)

        cloudwatch._describe_alarms = described
        provisioners._cw_metric_alarm_put = put_calculated

    def start(self, actions: Mapping[str, Action]) -> Callable[[], None]:
        """Evaluate from now on, on a thread; what is given ends it. `actions` are what alarms may
        set going beside topics, by how their ARNs begin."""
        self._actions = dict(actions)
        every_s = HIGH_RESOLUTION_S * self._second
        return repeat_in_account(self._settings, self._turn, every_s, "alarms")

    def state(self, name: str) -> str | None:
        """None where there is no such alarm."""
        alarm = cloudwatch._alarms.get(name)
        if alarm is None:
            return None
        self.evaluate(alarm)
        return str(alarm["StateValue"])

    def put(self, members: Mapping[str, Any]) -> None:
        """PutMetricAlarm, as a service of AWS's does it."""
        cloudwatch._put_metric_alarm({}, dict(members), False, True)

    def delete(self, names: Sequence[str]) -> None:
        cloudwatch._delete_alarms({}, {"AlarmNames": list(names)}, False, True)

    def naming(self, arn: str) -> list[str]:
        """The names of the alarms that set this going."""
        alarms = list(cloudwatch._alarms.values())
        return [alarm["AlarmName"] for alarm in alarms if arn in alarm.get("AlarmActions", ())]

    def evaluate_all(self) -> None:
        for alarm in list(cloudwatch._alarms.values()):
            self.evaluate(alarm)

    def evaluate(self, alarm: dict[str, Any]) -> None:
        """Enter the state that the last whole minute has brought. What SetAlarmState has set stays
        until the next one, and what an alarm is made with until the first."""
        with self._lock:
            interval = min(EVALUATION_S, alarm["Period"]) * self._second
            turn = int(self._clock() // interval)
            if self._evaluated.setdefault(alarm["AlarmArn"], turn) == turn:
                return
            self._evaluated[alarm["AlarmArn"]] = turn
            now = turn * interval
            old = alarm["StateValue"]
            new = state_by(alarm, current_values(alarm, now, self._second))
            if old == new:
                return
            reason = f"Threshold Crossed: {alarm['MetricName']} is {new} at {now:.0f}"
            alarm.update(StateValue=new, StateReason=reason, StateUpdatedTimestamp=int(now))
            cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
            cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
            cloudwatch._evaluate_parent_alarms(alarm)

    def _made(self, alarm: dict[str, Any]) -> None:
        """One was put: it is looked at when its first minute is over."""
        if metrics := self._calculated.pop(alarm["AlarmName"], None):
            alarm["Metrics"] = metrics
        try:
            check_kind(alarm)
        except ValueError:
            del cloudwatch._alarms[alarm["AlarmName"]]
            raise
        self.evaluate(alarm)

    def _turn(self) -> None:
        self.evaluate_all()
        for alarm in list(cloudwatch._alarms.values()):
            self._act(alarm)

    def _act(self, alarm: Alarm) -> None:
        """Scaling policies are invoked on a new state, and once a minute while it lasts
        (CloudWatch user guide, alarm actions)."""
        state, now = alarm["StateValue"], self._clock()
        before, last = self._acted.get(alarm["AlarmArn"], ("", 0.0))
        if state == before and now - last < EVALUATION_S * self._second:
            return
        self._acted[alarm["AlarmArn"]] = state, now
        wanted = alarm.get(ACTIONS[state]) or () if alarm.get("ActionsEnabled", True) else ()
        for arn in wanted:
            for begin, action in self._actions.items():
                if arn.startswith(begin):
                    values = current_values(alarm, now, self._second)
                    newest = next((value for value in values if value is not None), None)
                    if newest is not None:
                        action(arn, alarm, newest)


def series_of(alarm: Alarm) -> Points:
    """The data points of the alarm's metric with its dimensions and, where it has one, its unit;
    oldest first."""
    series = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm.get("Dimensions") or []))
    key = (alarm["Namespace"], alarm["MetricName"], series)
    points = list(cloudwatch._metrics.get(key) or ())
    unit = alarm.get("Unit")
    return [point for point in points if point["Unit"] == unit] if unit else points
