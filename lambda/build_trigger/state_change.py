"""CodeBuild's "Build State Change" events: the deploy hears of every end of a build by these alone,
whether it ended by itself or was stopped. A training job that a build leaves running is stopped."""

import logging
from collections.abc import Mapping
from typing import Any

from build_trigger.builds import Build
from build_trigger.logs import in_one_line
from build_trigger.services import Services
from cfn_requests.sending import MAX_REASON

log = logging.getLogger(__name__)


def handle_state_change(event: Mapping[str, Any], services: Services) -> None:
    """Signals the build's own wait URL. CloudFormation takes a second signal of the build for the
    same sent again, by its id."""
    build_id = event["detail"]["build-id"].rsplit("/", 1)[-1]
    build = services.builds.get(build_id)
    if build is None or build.running:
        log.info("build %s is none of a step's ended builds", build_id)
        return
    reason = _what_went_wrong(build, services)
    try:
        told = reason or "built"
        services.signal(build.wait_url, build.unique_id, reason=told, success=not reason)
    except OSError:
        # The URL of a deploy that is over: nobody waits for it any more.
        log.exception("could not signal for build %s", build_id)
    if build.jobs and build.status != "SUCCEEDED":
        _stop_jobs(build, services)


def _stop_jobs(build: Build, services: Services) -> None:
    # One of a later deploy judges for itself which jobs go on.
    if services.builds.running(build.project, build.key):
        log.info("another build of %s runs, which sees to its jobs", build.key)
        return
    services.jobs.stop_of_killed_build(build.jobs, services.pause)


def _what_went_wrong(build: Build, services: Services) -> str:
    """Empty for a build that did its work."""
    where = f" (log: {build.log_link})"
    if build.status == "FAILED" and (words := _last_words(build, services)):
        return f"{in_one_line(words, MAX_REASON - len(where))}{where}"
    if build.status != "SUCCEEDED":
        text = f"The build ended as {build.status}"
        if build.phase:
            text += f" in {build.phase}"
    elif not services.outputs.exists(build.output):
        text = "The build succeeded without writing its output"
    else:
        return ""
    return f"{text}{where}"


def _last_words(build: Build, services: Services) -> list[str]:
    try:
        return services.logs.last_words(build.log_group, build.log_stream, services.pause)
    except Exception:
        # The deploy is to hear of the end whatever becomes of the log.
        log.exception("could not read the log of %s", build.id)
        return []
