"""`sd.alarms`: who is told, what is slow, and whether there is a page to look at."""

from dataclasses import dataclass

from stacks.settings.rules import flag, list_of, number, optional, setting, text

SUBSCRIBER = text(
    r"[^@\s,:/]+@[^@\s,:/]+\.[^@\s,:/]+|https://[^\s,]+",
    "a mail address, or an https:// address that SNS can confirm and post to",
)


@dataclass(frozen=True, kw_only=True)
class AlarmSettings:
    """`subscribers` are asked once, by SNS, whether they want to be told. `slow_factor` times a
    variant's usual time is what its p90 may be: its default picture's, with as many requests at
    the instance as `scaling.target_concurrency`. `dashboard`: all figures on a page of CloudWatch's
    console ($3 a month, but for an account's first three of 50 metrics at most)."""

    subscribers: tuple[str, ...] | None = setting(optional(list_of(SUBSCRIBER)))
    slow_factor: float = setting(number(1, 20))
    dashboard: bool = setting(flag())
