"""CloudFormation's requests about one build step.

Create starts the build, unless its output is there already or this very request has started it.
Update with another key does the same; with the same key there is nothing to do. Delete stops what
still runs: it also comes when a deploy is cancelled, fails or times out. The answer goes back at
once; the wait condition does the waiting.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from build_trigger.builds import Builds
from build_trigger.outputs import Outputs
from build_trigger.sending import Put, shortened, signal

log = logging.getLogger(__name__)

WAITS_FOR_POLICY_S = (5, 10, 15)


@dataclass(frozen=True)
class Step:
    """The resource's properties."""

    project: str
    key: str
    wait_url: str
    output: Mapping[str, str]

    @classmethod
    def parse(cls, properties: Mapping[str, Any]) -> "Step":
        return cls(
            properties["Project"], properties["Key"], properties["WaitUrl"], properties["Output"]
        )


def handle_request(
    event: Mapping[str, Any],
    builds: Builds,
    outputs: Outputs,
    put: Put,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Answers on the event's ResponseURL, whatever happens; raises only if that fails."""
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
        answer["PhysicalResourceId"] = _patiently(
            lambda: _carry_out(event, builds, outputs, put), pause
        )
    except Exception as error:
        # Unanswered, CloudFormation would wait for an hour.
        log.exception("request failed")
        answer |= {"Status": "FAILED", "Reason": shortened(f"{type(error).__name__}: {error}")}
    put(event["ResponseURL"], answer)


def _patiently(carry_out: Callable[[], str], pause: Callable[[float], None]) -> str:
    """A policy made a moment ago, in the same deploy, takes some seconds to be in force."""
    for wait_s in WAITS_FOR_POLICY_S:
        try:
            return carry_out()
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
                raise
            log.info("not allowed yet, once more in %s s: %s", wait_s, error)
            pause(wait_s)
    return carry_out()


def _carry_out(event: Mapping[str, Any], builds: Builds, outputs: Outputs, put: Put) -> str:
    """The resource's physical id."""
    step = Step.parse(event["ResourceProperties"])
    match event["RequestType"]:
        case "Delete":
            _stop_all(step, builds)
            return str(event["PhysicalResourceId"])
        case "Update" if event["OldResourceProperties"].get("Key") == step.key:
            log.info("key unchanged, nothing to build")
            return str(event["PhysicalResourceId"])
        case _:
            _build(step, event["RequestId"], builds, outputs, put)
            # Another key makes another resource: CloudFormation then deletes the one it replaced.
            return f"build-step-{step.key}"


def _build(step: Step, token: str, builds: Builds, outputs: Outputs, put: Put) -> None:
    if outputs.exists(step.output):
        log.info("output of %s is there, nothing to build", step.key)
        put(step.wait_url, signal("already-built", reason="already built", success=True))
        return
    for build in builds.running(step.project, step.key):
        if build.wait_url == step.wait_url:
            log.info("build %s runs already for this request", build.id)
            return
        # It would signal a deploy that is over. What it left half done, the next one goes on from.
        log.info("stopping build %s of an earlier deploy", build.id)
        builds.stop(build.id)
    started = builds.start(step.project, step.key, step.wait_url, step.output, token)
    log.info("started build %s", started)


def _stop_all(step: Step, builds: Builds) -> None:
    try:
        for build in builds.running(step.project, step.key):
            log.info("stopping build %s", build.id)
            builds.stop(build.id)
    except Exception:
        # A build has its own time limit; a stack that can't be deleted has none.
        log.exception("could not stop the builds of %s", step.project)
