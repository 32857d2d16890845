"""StartBuild refused for a quota: waited for where that helps, named where it doesn't."""

from __future__ import annotations

import pytest

from build_trigger.custom_resource import handle_request
from build_trigger.quota import INVOCATION_S, TRY_FOR_S, TRY_UNTIL
from tests.fakes.build_trigger import MANIFEST, QUOTA, Cloud, over_quota

# Of the template's custom resource, and Lambda's own.
SERVICE_TIMEOUT_S, LAMBDA_TIMEOUT_S = 3600, 900


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_a_quota_of_none_fails_the_deploy_at_once_and_is_named(cloud: Cloud) -> None:
    cloud.codebuild.refusals = [over_quota(0)]
    answer = cloud.request("Create")
    assert answer["Status"] == "FAILED"
    assert cloud.pauses == []
    for part in (QUOTA, "Service Quotas, AWS CodeBuild", "https://eu-west-1.console.aws", "than 0"):
        assert part in answer["Reason"]


def test_a_quota_that_others_use_is_waited_for(cloud: Cloud) -> None:
    cloud.codebuild.refusals = [over_quota() for _ in range(6)]
    assert cloud.request("Create")["Status"] == "SUCCESS"
    assert len(cloud.codebuild.builds) == 1
    assert len(cloud.pauses) == 6


def test_what_another_deploy_builds_meanwhile_is_not_built_again(cloud: Cloud) -> None:
    cloud.codebuild.refusals = [over_quota()]
    cloud.codebuild.on_start = lambda: pytest.fail("built")
    cloud.on_pause = lambda: cloud.has(MANIFEST)
    assert cloud.request("Create")["Status"] == "SUCCESS"


def test_before_lambda_ends_it_the_wait_is_handed_to_another_invocation(cloud: Cloud) -> None:
    cloud.codebuild.refusals = [over_quota() for _ in range(1000)]
    cloud.functions.events = [cloud.event("Create")]
    took = []
    while cloud.functions.events:
        before = sum(cloud.pauses)
        handle_request(cloud.functions.events.pop(), cloud.services())
        took.append(sum(cloud.pauses) - before)
        # What the first one has set holds for all of them.
        assert all(event[TRY_UNTIL] == TRY_FOR_S for event in cloud.functions.events)
    assert 3 <= len(took) < 16  # where Lambda's loop detection ends it
    assert INVOCATION_S <= max(took) < LAMBDA_TIMEOUT_S - 60

    ((_, answer),) = cloud.sent
    assert answer["Status"] == "FAILED"
    assert QUOTA in answer["Reason"]
    # CloudFormation still listens.
    assert TRY_FOR_S <= sum(cloud.pauses) < SERVICE_TIMEOUT_S - 60


def test_a_handed_over_request_is_answered_as_the_first_would_have_been(cloud: Cloud) -> None:
    answer = cloud.handle({**cloud.event("Create"), TRY_UNTIL: 100.0})
    assert answer["Status"] == "SUCCESS"
    assert len(cloud.codebuild.builds) == 1


@pytest.mark.parametrize("status", ["DELETE_IN_PROGRESS", "CREATE_FAILED", None])
def test_a_deploy_that_is_over_gets_no_build(cloud: Cloud, status: str | None) -> None:
    cloud.codebuild.refusals = [over_quota()]
    cloud.cloudformation.statuses = [status]
    answer = cloud.request("Create")
    assert answer["Status"] == "FAILED"
    assert "no longer waits" in answer["Reason"]
    assert cloud.codebuild.builds == {}


def test_a_delete_that_came_between_asking_and_starting_wins(cloud: Cloud) -> None:
    """It found nothing to stop: what has started meanwhile is stopped by who started it."""
    cloud.codebuild.refusals = [over_quota()]
    cloud.cloudformation.statuses = ["CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS"]
    assert cloud.request("Create")["Status"] == "FAILED"
    assert cloud.codebuild.stopped == ["project:uuid-1"]


def test_a_limit_in_other_words_is_taken_for_one_that_can_pass(cloud: Cloud) -> None:
    refusal = over_quota()
    refusal.response["Error"]["Message"] = "Too many builds"
    cloud.codebuild.refusals = [refusal]
    assert cloud.request("Create")["Status"] == "SUCCESS"
