"""`python endpoints.py list | stop VARIANT | start VARIANT`: a variant's endpoint, by hand.

A stopped endpoint costs nothing and keeps its stack, model and configuration; the API answers 503
`model_stopped` with the command that starts it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Where the code is that does the same by the clock.
sys.path.append(str(Path(__file__).parent / "lambda"))
sys.path.append(str(Path(__file__).parent / "model_assets"))

from idle_guard.switch import FAILED, IN_SERVICE, CannotStart, NotYet, Switch
from sd_contract.registration import REAL_TIME, Registration, start_command

ASKED_EVERY_S = 15
# Of a real-time endpoint's start: both of SageMaker's limits at their greatest, and the instance.
SETTLED_WITHIN_S = 2 * 3600 + 900


def main(
    arguments: list[str],
    clients: Callable[..., Any],
    now: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """The exit status. `clients` is boto3.client."""
    parser = argparse.ArgumentParser(prog="endpoints.py", description=__doc__)
    parser.add_argument("action", choices=["list", "stop", "start"])
    parser.add_argument("variant", nargs="?", help="such as g5; not of list")
    parser.add_argument("--prefix", default="sd", help="sd.prefix of the app (default: sd)")
    parser.add_argument("--region", help="default: the credentials' own")
    asked = parser.parse_args(arguments)
    if (asked.variant is None) != (asked.action == "list"):
        parser.error("stop and start take a variant, list takes none")
    place = {"region_name": asked.region} if asked.region else {}
    ssm, sagemaker = clients("ssm", **place), clients("sagemaker", **place)
    folder = f"/{asked.prefix}/variants"

    def switch(found: Registration) -> Switch:
        command = start_command(found.name, asked.prefix, found.region)
        name = f"{folder}/{found.name}"
        return Switch(sagemaker, ssm, name, command, lambda _what, _detail: None, now)

    variants = {found.name: found for found in _registered(ssm, folder)}
    if asked.action == "list":
        for found in variants.values():
            print(_line(found, switch(found).status()))
        return 0
    if asked.variant not in variants or REAL_TIME not in variants[asked.variant].serve:
        able = [name for name, found in variants.items() if REAL_TIME in found.serve]
        print(f"{asked.variant}: no such endpoint; there are: {', '.join(able) or 'none'}")
        return 1
    found, its = variants[asked.variant], switch(variants[asked.variant])
    try:
        if asked.action == "stop":
            if _scales(clients("application-autoscaling", **place), found.endpoint_name):
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


if __name__ == "__main__":
    import boto3

    sys.exit(main(sys.argv[1:], boto3.client))
