"""`python -m operations list | stop VARIANT | start VARIANT`: a variant's endpoint, by hand.

A stopped endpoint costs nothing and keeps its stack, model and configuration; the API answers 503
`model_stopped` with the command that starts it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from idle_guard.switch import FAILED, IN_SERVICE, CannotStart, NotYet, Switch
from operations.account import Clients
from sd_contract.registration import REAL_TIME, Registration, start_command
from stacks.settings import Names

ASKED_EVERY_S = 15
# Of a real-time endpoint's start: both of SageMaker's limits at their greatest, and the instance.
SETTLED_WITHIN_S = 2 * 3600 + 900


def endpoints(
    clients: Clients,
    names: Names,
    action: str,
    variant: str,
    now: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """The exit status. `action` is "list", without a variant, "stop" or "start"."""
    ssm, sagemaker = clients("ssm"), clients("sagemaker")

    def switch(found: Registration) -> Switch:
        command = start_command(found.name, names.prefix, found.region)
        name = f"{names.registrations}/{found.name}"
        return Switch(sagemaker, ssm, name, command, lambda _what, _detail: None, now)

    variants = {found.name: found for found in _registered(ssm, names.registrations)}
    if action == "list":
        for found in variants.values():
            print(_line(found, switch(found).status()))
        return 0
    if variant not in variants or REAL_TIME not in variants[variant].serve:
        able = [name for name, found in variants.items() if REAL_TIME in found.serve]
        print(f"{variant}: no such endpoint; there are: {', '.join(able) or 'none'}")
        return 1
    found, its = variants[variant], switch(variants[variant])
    try:
        if action == "stop":
            if _scales(clients("application-autoscaling"), found.endpoint_name):
                print(
                    f"{found.endpoint_name} scales, and SageMaker would forget how: deploy it "
                    "first with max_instances as min_instances and no schedule"
                )
                return 1
            its.stop("by hand")
            print(f"{found.endpoint_name} is stopped. To start it: {its.start_command}")
            return 0
        its.start()
    except (NotYet, CannotStart) as error:
        print(error)
        return 1
    print(f"{found.endpoint_name} is starting, which takes minutes; {_price(found)}")
    return _until_in_service(its, pause)


def _until_in_service(its: Switch, pause: Callable[[float], None]) -> int:
    for _ in range(SETTLED_WITHIN_S // ASKED_EVERY_S):
        described = its.described()
        status = described["EndpointStatus"] if described else None
        if described is None or status == FAILED:
            reason = described.get("FailureReason") if described else "it is not there"
            print(f"It has not come up: {reason}. Its log: /aws/sagemaker/Endpoints/…")
            return 1
        if status == IN_SERVICE:
            print("It is in service.")
            return 0
        pause(ASKED_EVERY_S)
    print("It is still not in service: SageMaker's console says more.")
    return 1


def _scales(autoscaling: Any, endpoint: str) -> bool:
    pages = autoscaling.get_paginator("describe_scalable_targets").paginate(
        ServiceNamespace="sagemaker"
    )
    ids = [target["ResourceId"] for page in pages for target in page["ScalableTargets"]]
    return any(each.startswith(f"endpoint/{endpoint}/") for each in ids)


def _registered(ssm: Any, folder: str) -> list[Registration]:
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=folder)
    found = [each["Value"] for page in pages for each in page["Parameters"]]
    return sorted(map(Registration.from_json, found), key=lambda one: one.name)


def _line(found: Registration, status: str | None) -> str:
    if REAL_TIME not in found.serve:
        return f"{found.name:<16} no real-time endpoint"
    if status is not None:
        return f"{found.name:<16} {status}, {_price(found)}"
    stopped = found.stopped
    why = f" since {stopped.since}: {stopped.why}" if stopped else ""
    return f"{found.name:<16} stopped{why}"


def _price(found: Registration) -> str:
    if found.price_usd_per_hour is None:
        return f"no price of {found.instance_type} is known"
    usd = found.price_usd_per_hour * found.instance_count
    return (
        f"{usd:.2f} USD an hour ({found.instance_count} x {found.instance_type}, "
        f"of {found.price_date})"
    )
