"""Builds that the account's quota doesn't let start.

A young account is refused what others have queued: "Cannot have more than N builds in queue for the
account", with an N of 0 or 1 (aws-nuke#1209, aws-secure-environment-accelerator#982). Where N is 0
there is nothing to wait for; else the build is tried again while the deploy has time for it.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from build_trigger.services import Services

log = logging.getLogger(__name__)

# CloudFormation gives up on the resource after an hour (the template's ServiceTimeout).
TRY_FOR_S = 55 * 60
# Lambda ends an invocation after 15 minutes. The next one goes on: five of them, where Lambda's
# recursive loop detection lets about sixteen pass (invocation-recursion in its guide).
INVOCATION_S = 12 * 60
PAUSES_S = (5, 10, 20, 30)
TRY_UNTIL = "SdTryUntil"
"""Member of a handed-over event: seconds since the epoch."""


class QuotaTooLow(Exception):
    """The message names the quota and what to do."""


class NotWanted(Exception):
    """The deploy is over, or has been cancelled."""


class HandedOver(Exception):
    """Another invocation goes on with the request, and will answer it."""


def tried_again(
    event: Mapping[str, Any], quota: str, services: Services, start: Callable[[], None]
) -> None:
    """Calls `start`, and again while the quota of this name refuses its build.

    Raises QuotaTooLow, NotWanted, HandedOver, and whatever else `start` does.
    """
    began = services.clock()
    until = float(event.get(TRY_UNTIL, began + TRY_FOR_S))
    tries = 0
    while True:
        try:
            return start()
        except ClientError as error:
            limit = limit_in(error)
            if limit is None:
                raise
            if limit == 0 or services.clock() >= until:
                raise QuotaTooLow(_advice(event, quota, limit, error)) from error
        wait_s = PAUSES_S[min(tries, len(PAUSES_S) - 1)]
        tries += 1
        log.info("the account has its %s builds already, once more in %s s", limit, wait_s)
        services.pause(wait_s)
        # A Delete that came meanwhile found nothing to stop, and must have been right.
        if not services.deploys.wants(event):
            raise NotWanted("the deploy no longer waits for this build")
        if services.clock() - began >= INVOCATION_S:
            services.deploys.hand_over({**event, TRY_UNTIL: until})
            raise HandedOver


def limit_in(error: ClientError) -> int | None:
    """How many builds the account may have; None where the error is another."""
    said = error.response["Error"]
    if said["Code"] != "AccountLimitExceededException":
        return None
    found = re.search(r"more than (\d+) ", said["Message"])
    # In other words than those known, it is taken for one that can pass.
    return int(found[1]) if found else 1


def _advice(event: Mapping[str, Any], quota: str, limit: int, error: ClientError) -> str:
    region = event["StackId"].split(":")[3]
    tried = "" if limit == 0 else f" Others ran for all of the {TRY_FOR_S // 60} min it was tried."
    return (
        f"CodeBuild refuses the build: {error.response['Error']['Message']}.{tried} Request more: "
        f"Service Quotas, AWS CodeBuild, '{quota}', https://{region}.console.aws.amazon.com/"
        "servicequotas/home/services/codebuild/quotas. What is built already stays."
    )
