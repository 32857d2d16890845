"""When a schedule's expression is due, by MiniStack's reading of AWS's cron."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ministack.services import eventbridge

_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_RATE = re.compile(r"rate\(([1-9]\d*) (minute|hour|day)s?\)")


def next_due(expression: str, timezone: str, after: datetime) -> datetime | None:
    """The first time after `after` (aware) at which at(…), rate(…) or cron(…) is due; None where
    there is none. ValueError for an expression or a time zone that isn't one."""
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"Invalid time zone: {timezone}") from error
    if once := _AT.fullmatch(expression):
        due = datetime.fromisoformat(once[1]).replace(tzinfo=zone)
        return due if due > after else None
    if every := _RATE.fullmatch(expression):
        return after + timedelta(**{f"{every[2]}s": int(every[1])})
    fields = eventbridge._parse_cron_fields(expression)
    if fields is None:
        raise ValueError(f"Invalid schedule expression: {expression}")
    found: datetime | None = eventbridge._cron_next_fire(fields, after.astimezone(zone))
    return found
