"""Entry point: what EventBridge Scheduler asks for. An error is tried again by Lambda, twice."""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from idle_guard.guard import Guard
from idle_guard.switch import Switch

log = logging.getLogger()
log.setLevel(logging.INFO)


def guard(
    environment: Mapping[str, str], clients: Any, now: Callable[[], float] = time.time
) -> Guard:
    """`clients` gives boto3's by their services' names. Raises KeyError, ValueError."""
    events, source = clients("events"), environment["SD_EVENT_SOURCE"]

    def tell(what: str, detail: Mapping[str, str]) -> None:
        """In the log, and on the bus for whoever has a rule for it."""
        log.info("%s", json.dumps({"event": what, **detail}))
        why, start = detail.get("why"), detail.get("start")
        message = f"{detail['endpoint']}: {what}{f', {why}' if why else ''}."
        message += f" To start it: {start}" if start else ""
        told = json.dumps({**detail, "message": message})
        entry = {"Source": source, "DetailType": what, "Detail": told}
        answer = events.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            raise RuntimeError(f"{what}: {answer['Entries']}")

    switch = Switch(
        clients("sagemaker"),
        clients("ssm"),
        environment["SD_REGISTRATION"],
        environment["SD_START_COMMAND"],
        tell,
        now,
    )
    idle_h = environment["SD_IDLE_H"]
    return Guard(
        switch,
        clients("cloudwatch"),
        clients("application-autoscaling"),
        environment["SD_PRODUCTION_VARIANT"],
        float(idle_h) if idle_h else None,
        environment["SD_SCALES"] == "true",
    )


@cache
def _guard() -> Guard:
    import boto3

    return guard(os.environ, boto3.client)


def handler(event: dict[str, Any], _context: object) -> None:
    _guard().handle(event)
