"""`sd.alarms`: who is told, and what is slow."""

from dataclasses import dataclass

from stacks.settings.rules import list_of, number, optional, setting, text

SUBSCRIBER = text(
    r"[^@\s,:/]+@[^@\s,:/]+\.[^@\s,:/]+|https://[^\s,]+",
    "a mail address, or an https:// address that SNS can confirm and post to",
)


@dataclass(frozen=True, kw_only=True)
class AlarmSettings:
    """`subscribers` are asked once, by SNS, whether they want to be told. `slow_factor` times a
    variant's usual time is what its p90 may be: its default picture's, with as many requests at
    the instance as `scaling.target_concurrency`."""

    subscribers: tuple[str, ...] | None = setting(optional(list_of(SUBSCRIBER)))
    slow_factor: float = setting(number(1, 20))
