"""The build step's Lambda: what a deploy hears, in every way a build can start and end."""

import json

import pytest

from tests.fakes.build_trigger import (
    IN_ECR,
    IN_S3,
    KEY,
    MANIFEST,
    OLD_URL,
    OTHER_KEY,
    URL,
    Cloud,
    denied,
)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_create_starts_one_build_that_knows_its_key_and_whom_to_tell(cloud: Cloud) -> None:
    answer = cloud.request("Create")
    assert answer["Status"] == "SUCCESS"
    assert KEY in answer["PhysicalResourceId"]
    assert cloud.sent == []  # the wait condition goes on waiting
    (build,) = cloud.codebuild.builds.values()
    variables = {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]}
    assert (variables["SD_KEY"], variables["SD_WAIT_URL"]) == (KEY, URL)
    assert json.loads(variables["SD_OUTPUT"]) == IN_S3


OTHERS = [MANIFEST + ".old", MANIFEST.replace(KEY, OTHER_KEY)]


@pytest.mark.parametrize(
    ("output", "keys", "tags"),
    [
        # An image without its record, a record without its image, and what another key made.
        (IN_ECR, [], [KEY]),
        (IN_ECR, [MANIFEST], []),
        (IN_ECR, OTHERS, [OTHER_KEY]),
        (IN_S3, OTHERS, []),
    ],
)
def test_create_builds_what_is_not_there_whole(
    cloud: Cloud, output: dict[str, str], keys: list[str], tags: list[str]
) -> None:
    cloud.has(*keys)
    cloud.ecr.tags = tags
    cloud.request("Create", output=output)
    assert len(cloud.codebuild.builds) == 1


@pytest.mark.parametrize("output", [IN_S3, IN_ECR])
def test_create_builds_nothing_where_the_output_is_there(
    cloud: Cloud, output: dict[str, str]
) -> None:
    cloud.has(MANIFEST)
    cloud.ecr.tags = [KEY]
    assert cloud.request("Create", output=output)["Status"] == "SUCCESS"
    assert cloud.codebuild.builds == {}
    ((url, signal),) = cloud.sent
    assert (url, signal["Status"]) == (URL, "SUCCESS")


def test_the_same_create_twice_starts_one_build(cloud: Cloud) -> None:
    """Lambda may deliver an event again."""
    cloud.request("Create")
    assert cloud.request("Create")["Status"] == "SUCCESS"
    assert len(cloud.codebuild.builds) == 1
    assert cloud.codebuild.stopped == []


def test_a_build_left_by_an_earlier_deploy_is_stopped_since_it_would_signal_into_the_void(
    cloud: Cloud,
) -> None:
    cloud.request("Create", url=OLD_URL)
    cloud.request("Create", url=URL)
    assert cloud.codebuild.stopped == ["project:uuid-1"]
    assert cloud.codebuild.builds["project:uuid-2"]["buildStatus"] == "IN_PROGRESS"
    # The token is the request's: the first build's would have started nothing.
    assert len(set(cloud.codebuild.tokens)) == 2


def test_builds_of_other_keys_are_left_alone(cloud: Cloud) -> None:
    cloud.request("Create", key=OTHER_KEY, url=OLD_URL)
    cloud.request("Create")
    assert cloud.codebuild.stopped == []
    assert len(cloud.codebuild.builds) == 2


def test_update_with_the_same_key_builds_nothing_and_stays_the_same_resource(cloud: Cloud) -> None:
    answer = cloud.request(
        "Update",
        PhysicalResourceId="build-step-x",
        OldResourceProperties={"Key": KEY, "Project": "renamed"},
    )
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", "build-step-x")
    assert cloud.codebuild.builds == {}
    assert cloud.sent == []


def test_update_with_another_key_builds_and_becomes_another_resource(cloud: Cloud) -> None:
    answer = cloud.request(
        "Update",
        PhysicalResourceId=f"build-step-{OTHER_KEY}",
        OldResourceProperties={"Key": OTHER_KEY},
    )
    assert answer["PhysicalResourceId"] == f"build-step-{KEY}"
    assert len(cloud.codebuild.builds) == 1


def test_delete_stops_what_runs_for_the_key_and_no_other(cloud: Cloud) -> None:
    cloud.request("Create")
    cloud.request("Create", key=OTHER_KEY)
    answer = cloud.request("Delete", PhysicalResourceId="build-step-x")
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", "build-step-x")
    assert cloud.codebuild.stopped == ["project:uuid-1"]


def test_a_policy_not_yet_in_force_is_waited_for(cloud: Cloud) -> None:
    cloud.codebuild.refusals = [denied(), denied()]
    assert cloud.request("Create")["Status"] == "SUCCESS"
    assert len(cloud.pauses) == 2
    assert len(cloud.codebuild.builds) == 1


def test_a_refusal_fails_the_deploy_with_aws_s_words(cloud: Cloud) -> None:
    cloud.codebuild.refusals = [denied() for _ in range(10)]
    answer = cloud.request("Create")
    assert answer["Status"] == "FAILED"
    assert "not allowed" in answer["Reason"]
    assert sum(cloud.pauses) <= 30


def test_any_other_error_fails_the_deploy_at_once(cloud: Cloud) -> None:
    cloud.codebuild.refusals = [denied("InvalidInputException")]
    assert cloud.request("Create")["Status"] == "FAILED"
    assert cloud.pauses == []


def test_an_unforeseen_error_is_still_an_answer(cloud: Cloud) -> None:
    answer = cloud.request("Create", output={"Neither": "nor"})
    assert answer["Status"] == "FAILED"
    assert "KeyError" in answer["Reason"]
    assert answer["PhysicalResourceId"]


SAID = [
    "[Container] 2026/11/25 10:00:00.000001 Running command python3 -m pip install",
    "an earlier command's warning",
    "[Container] 2026/11/25 10:00:01.000001 Running command python3 -m make",
    "line 1",
    "line 2",
    "line 3",
    "",
    "  unet: no such file",
]
ENDED = [
    "",
    "[Container] 2026/11/25 10:00:02.000001 Command did not exit successfully: exit status 1",
    "[Container] 2026/11/25 10:00:02.000002 Phase complete: BUILD State: FAILED",
    "[Container] 2026/11/25 10:00:02.000003 Entering phase POST_BUILD",
]


def reason(cloud: Cloud, status: str = "FAILED", message: str = "exit 1") -> str:
    """Of a build that ended badly, in a phase that says so."""
    cloud.request("Create")
    phase = {"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [{"message": message}]}
    cloud.state_change(cloud.codebuild.end("project:uuid-1", status, phase))
    ((url, signal),) = cloud.sent
    # The build's own id: CloudFormation takes a second signal for the same sent again.
    assert (url, signal["Status"], signal["UniqueId"]) == (URL, "FAILURE", "uuid-1")
    assert len(json.dumps(signal)) < 4096  # what it reads
    return str(signal["Reason"])


def test_a_failing_command_s_last_words_are_the_reason(cloud: Cloud) -> None:
    cloud.logs.pages = [[*SAID, *ENDED]]
    assert reason(cloud) == "line 2 / line 3 / unet: no such file (log: https://console/1)"
    assert cloud.pauses == []


def test_a_log_that_arrives_late_is_waited_for(cloud: Cloud) -> None:
    cloud.logs.pages = [[], SAID[:4], [*SAID, *ENDED]]
    assert "unet: no such file" in reason(cloud)
    assert len(cloud.pauses) == 2


def test_a_command_that_said_nothing_has_the_phase_for_a_reason(cloud: Cloud) -> None:
    cloud.logs.pages = [[*SAID[:3], *ENDED]]
    assert reason(cloud) == "The build ended as FAILED in BUILD: exit 1 (log: https://console/1)"


@pytest.mark.parametrize("status", ["STOPPED", "TIMED_OUT", "FAULT"])
def test_of_a_build_that_was_ended_the_status_is_the_reason(cloud: Cloud, status: str) -> None:
    cloud.logs.pages = [[*SAID, *ENDED]]
    said = f"The build ended as {status} in BUILD: exit 1 (log: https://console/1)"
    assert reason(cloud, status) == said


def test_without_its_log_a_build_s_end_is_told_all_the_same(cloud: Cloud) -> None:
    cloud.logs.refusal = denied()
    assert reason(cloud).startswith("The build ended as FAILED in BUILD: exit 1")


def test_lines_that_do_not_fit_are_left_out_whole_and_a_long_one_keeps_its_end(
    cloud: Cloud,
) -> None:
    cloud.logs.pages = [["x" * 900, "why " * 50, "the end", *ENDED]]
    assert reason(cloud).startswith("why why")
    other = Cloud()
    other.logs.pages = [["x" * 5000 + "the end", *ENDED]]
    assert reason(other).endswith("xthe end (log: https://console/1)")


def test_a_build_that_wrote_its_output_succeeds(cloud: Cloud) -> None:
    cloud.request("Create")
    cloud.has(MANIFEST)
    cloud.state_change(cloud.codebuild.end("project:uuid-1", "SUCCEEDED"))
    ((url, signal),) = cloud.sent
    assert (url, signal["Status"], signal["UniqueId"]) == (URL, "SUCCESS", "uuid-1")


def test_a_build_that_succeeds_without_output_fails_the_deploy(cloud: Cloud) -> None:
    cloud.request("Create")
    cloud.state_change(cloud.codebuild.end("project:uuid-1", "SUCCEEDED"))
    ((_, signal),) = cloud.sent
    assert signal["Status"] == "FAILURE"
    assert "without writing its output" in signal["Reason"]


def test_a_signal_that_nobody_waits_for_is_no_error(cloud: Cloud) -> None:
    cloud.request("Create", url=OLD_URL)
    cloud.lost_urls = {OLD_URL}
    cloud.state_change(cloud.codebuild.end("project:uuid-1", "STOPPED"))
    assert cloud.sent == []


def test_a_build_started_by_hand_is_nobody_s_business(cloud: Cloud) -> None:
    cloud.codebuild.start_build(
        projectName="project", idempotencyToken="t", environmentVariablesOverride=[]
    )
    cloud.state_change(cloud.codebuild.end("project:uuid-1", "FAILED"))
    assert cloud.sent == []


def test_a_build_that_is_gone_is_nobody_s_business(cloud: Cloud) -> None:
    cloud.request("Create")
    event = cloud.codebuild.end("project:uuid-1", "FAILED")
    cloud.codebuild.builds.clear()
    cloud.state_change(event)
    assert cloud.sent == []


def test_a_long_reason_is_cut(cloud: Cloud) -> None:
    assert reason(cloud, message="x" * 9000).endswith("x…")
