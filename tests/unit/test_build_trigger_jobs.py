"""A build that is killed can't stop its training job: the trigger does, whatever ends the build."""

from __future__ import annotations

import pytest

from build_trigger.jobs import LATE_BY_S
from tests.fakes.build_trigger import (
    JOB_PREFIX,
    OLD_URL,
    OTHER_KEY,
    URL,
    WITH_JOBS,
    Cloud,
    denied,
)

JOB = f"{JOB_PREFIX}1"
OTHERS = {
    f"{JOB_PREFIX}ended": "Completed",
    f"sd-compile-{OTHER_KEY[:12]}-1": "InProgress",
    f"mine-{JOB_PREFIX}1": "InProgress",
}


@pytest.fixture
def cloud() -> Cloud:
    """A build of the step runs, and its job."""
    cloud = Cloud()
    cloud.request("Create", jobs=WITH_JOBS)
    cloud.sagemaker.jobs = {**OTHERS, JOB: "InProgress"}
    return cloud


def test_a_build_is_told_the_prefix_of_its_jobs(cloud: Cloud) -> None:
    (build,) = cloud.codebuild.builds.values()
    variables = {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]}
    assert variables["SD_JOB_PREFIX"] == JOB_PREFIX


@pytest.mark.parametrize("status", ["STOPPED", "TIMED_OUT", "FAULT", "FAILED"])
def test_a_build_that_ends_badly_leaves_no_job(cloud: Cloud, status: str) -> None:
    cloud.state_change(cloud.codebuild.end("project:uuid-1", status))
    assert cloud.sagemaker.stopped == [JOB]
    # The deploy hears of it first.
    assert [url for url, _ in cloud.sent] == [URL]


def test_a_job_created_just_before_the_build_was_killed_is_stopped_too(cloud: Cloud) -> None:
    cloud.sagemaker.late = [f"{JOB_PREFIX}late"]
    cloud.state_change(cloud.codebuild.end("project:uuid-1", "STOPPED"))
    assert cloud.sagemaker.stopped == [JOB, f"{JOB_PREFIX}late"]
    assert cloud.pauses == [LATE_BY_S]


def test_a_build_that_succeeds_touches_no_job(cloud: Cloud) -> None:
    cloud.state_change(cloud.codebuild.end("project:uuid-1", "SUCCEEDED"))
    assert cloud.sagemaker.listings == 0


def test_a_later_deploy_s_build_keeps_the_job_it_may_follow(cloud: Cloud) -> None:
    cloud.request("Create", url="https://signal/newer", jobs=WITH_JOBS)
    cloud.state_change(cloud.codebuild.end("project:uuid-1", "STOPPED"))
    assert cloud.sagemaker.stopped == []


def test_a_build_of_another_key_is_no_reason_to_keep_a_job(cloud: Cloud) -> None:
    cloud.request("Create", key=OTHER_KEY, url=OLD_URL)
    cloud.state_change(cloud.codebuild.end("project:uuid-1", "STOPPED"))
    assert cloud.sagemaker.stopped == [JOB]


def test_delete_stops_the_build_then_when_that_has_ended_its_jobs(cloud: Cloud) -> None:
    cloud.codebuild.stops_slowly = True
    cloud.sagemaker.late = [f"{JOB_PREFIX}late"]
    answer = cloud.request("Delete", jobs=WITH_JOBS, PhysicalResourceId="x")
    assert answer["Status"] == "SUCCESS"
    assert cloud.codebuild.stopped == ["project:uuid-1"]
    assert cloud.sagemaker.stopped == [JOB, f"{JOB_PREFIX}late"]
    assert sum(cloud.pauses) > LATE_BY_S  # for the build first


def test_delete_waits_for_a_build_s_end_no_longer_than_lambda_lets_it(cloud: Cloud) -> None:
    cloud.codebuild.never_stops = True
    assert cloud.request("Delete", jobs=WITH_JOBS, PhysicalResourceId="x")["Status"] == "SUCCESS"
    assert cloud.sagemaker.stopped == [JOB]
    assert sum(cloud.pauses) < 600


def test_delete_stops_a_job_whose_build_is_gone_without_waiting(cloud: Cloud) -> None:
    cloud.codebuild.end("project:uuid-1", "STOPPED")
    cloud.request("Delete", jobs=WITH_JOBS, PhysicalResourceId="x")
    assert cloud.sagemaker.stopped == [JOB]
    assert cloud.pauses == []


def test_delete_stops_jobs_where_builds_can_t_be_stopped(cloud: Cloud) -> None:
    cloud.codebuild.stop_refused = True
    assert cloud.request("Delete", jobs=WITH_JOBS, PhysicalResourceId="x")["Status"] == "SUCCESS"
    assert cloud.sagemaker.stopped == [JOB]


def test_jobs_that_can_t_be_listed_hold_no_stack_back(cloud: Cloud) -> None:
    cloud.sagemaker.refusal = denied()
    assert cloud.request("Delete", jobs=WITH_JOBS, PhysicalResourceId="x")["Status"] == "SUCCESS"


def test_a_step_without_jobs_asks_sagemaker_nothing(cloud: Cloud) -> None:
    cloud.request("Delete", PhysicalResourceId="x")
    assert cloud.sagemaker.listings == 0


def test_a_job_that_ended_meanwhile_is_no_error(cloud: Cloud) -> None:
    class EndsFirst(dict[str, str]):
        """Listed as running, ended when asked again."""

        def items(self):  # type: ignore[no-untyped-def]
            return [(name, "InProgress") for name in self]

    cloud.sagemaker.jobs = EndsFirst({JOB: "Completed"})
    cloud.state_change(cloud.codebuild.end("project:uuid-1", "STOPPED"))
    assert cloud.sagemaker.stopped == []
