"""CloudFormation's requests about one build step.

Create starts the build, unless its output is there already or this very request has started it.
Update with another key does the same; with the same key there is nothing to do. Delete stops what
still runs, builds and their training jobs: it also comes when a deploy is cancelled, fails or times
out. The answer goes back when the build has started; the wait condition does the waiting.
"""

import logging
from collections.abc import Mapping
from typing import Any

from build_trigger.builds import Step
from build_trigger.quota import HandedOver, NotWanted, tried_again
from build_trigger.services import Services
from cfn_requests.answering import Outcome, answer_request, patiently

log = logging.getLogger(__name__)

# How long Delete waits for stopped builds to have ended, and how often it asks.
STOPPED_WITHIN_S = 180
ASKED_EVERY_S = 5


def handle_request(event: Mapping[str, Any], services: Services) -> None:
    """Answers on the event's ResponseURL, whatever happens, or has another invocation do so; raises
    only if that fails."""

    def carry_out() -> Outcome | None:
        try:
            return Outcome(_carry_out(event, services))
        except HandedOver:
            return None

    answer_request(event, carry_out, services.put)


def _carry_out(event: Mapping[str, Any], services: Services) -> str:
    """The resource's physical id."""
    step = Step.parse(event["ResourceProperties"])
    match event["RequestType"]:
        case "Delete":
            _stop_all(step, services)
            return str(event["PhysicalResourceId"])
        case "Update" if event["OldResourceProperties"].get("Key") == step.key:
            log.info("key unchanged, nothing to build")
            return str(event["PhysicalResourceId"])
        case _:
            tried_again(
                event,
                step.quota,
                services,
                lambda: patiently(lambda: _build(step, event, services), services.pause),
            )
            # Another key makes another resource: CloudFormation then deletes the one it replaced.
            return f"build-step-{step.key}"


def _build(step: Step, event: Mapping[str, Any], services: Services) -> None:
    if services.outputs.exists(step.output):
        log.info("output of %s is there, nothing to build", step.key)
        services.signal(step.wait_url, "already-built", reason="already built", success=True)
        return
    for build in services.builds.running(step.project, step.key):
        if build.wait_url == step.wait_url:
            log.info("build %s runs already for this request", build.id)
            return
        # It would signal a deploy that is over. What it left half done, the next one goes on from.
        log.info("stopping build %s of an earlier deploy", build.id)
        services.builds.stop(build.id)
    started = services.builds.start(step, event["RequestId"])
    log.info("started build %s", started)
    # A Delete that came while this one waited for a policy or a quota has found nothing to stop.
    if not services.deploys.wants(event):
        services.builds.stop(started)
        raise NotWanted("the deploy no longer waits for this build")


def _stop_all(step: Step, services: Services) -> None:
    """Builds before jobs, since one under way could start another.

    Never raises: builds and jobs have time limits of their own, a stack that can't be deleted has
    none.
    """
    killed = True
    try:
        killed = _stop_builds(step, services)
    except Exception:
        log.exception("could not stop the builds of %s", step.project)
    try:
        if step.jobs and killed:
            services.jobs.stop_of_killed_build(step.jobs, services.pause)
        elif step.jobs:
            services.jobs.stop(step.jobs)
    except Exception:
        log.exception("could not stop the training jobs of %s", step.project)


def _stop_builds(step: Step, services: Services) -> bool:
    """Whether there were any. Those that may start jobs have ended when it returns."""
    running = stopping = services.builds.running(step.project, step.key)
    for build in running:
        log.info("stopping build %s", build.id)
        services.builds.stop(build.id)
    waits = STOPPED_WITHIN_S // ASKED_EVERY_S if step.jobs else 0
    for _ in range(waits):
        if not stopping:
            break
        services.pause(ASKED_EVERY_S)
        stopping = services.builds.running(step.project, step.key)
    return bool(running)
