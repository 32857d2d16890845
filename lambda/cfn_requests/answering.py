"""From a request to its answer."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from cfn_requests.sending import Put, shortened

log = logging.getLogger(__name__)

WAITS_FOR_POLICY_S = (5, 10, 15)

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """What a request came to: the resource's physical id, and what Fn::GetAtt gives of it."""

    physical_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)


def answer_request(
    event: Mapping[str, Any], carry_out: Callable[[], Outcome | None], put: Put
) -> None:
    """Answers on the event's ResponseURL; an error of `carry_out` fails the deploy by its text, and
    None leaves the answer to another invocation. Raises only where it can't be delivered."""
    answer = {
        "Status": "SUCCESS",
        "Reason": "",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "PhysicalResourceId": event.get("PhysicalResourceId", event["RequestId"]),
        "Data": {},
    }
    try:
        outcome = carry_out()
        if outcome is None:
            return
        answer |= {"PhysicalResourceId": outcome.physical_id, "Data": dict(outcome.attributes)}
    except Exception as error:
        # Unanswered, CloudFormation would wait for an hour.
        log.exception("request failed")
        answer |= {"Status": "FAILED", "Reason": shortened(f"{type(error).__name__}: {error}")}
    put(event["ResponseURL"], answer)


def patiently(do: Callable[[], T], pause: Callable[[float], None]) -> T:
    """A policy made a moment ago, in the same deploy, takes some seconds to be in force."""
    for wait_s in WAITS_FOR_POLICY_S:
        try:
            return do()
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
                raise
            log.info("not allowed yet, once more in %s s: %s", wait_s, error)
            pause(wait_s)
    return do()
