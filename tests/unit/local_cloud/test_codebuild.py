"""Builds on the local cloud, through boto3: records, ends, events, permissions."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from local_cloud.codebuild.build import BuildPlan, BuildRun
from local_cloud.codebuild.buildspec import BuildspecError, build_commands
from local_cloud.ministack.identity import RoleSession
from tests.fakes.heard_events import HeardEvents
from tests.fakes.local_account import (
    allow,
    arn,
    fault,
    log_lines,
    make_role,
    role_arn,
    wait_for,
)
from tests.fakes.processes import alive

GROUPS = "/aws/codebuild"
ACCOUNT = "000000000000"
CLEARS_UP = "trap 'echo cleared up' TERM INT HUP EXIT"


def buildspec(*commands: str, **changes: Any) -> str:
    phases = {"install": {"runtime-versions": {"python": "3.12"}}, "build": {"commands": commands}}
    return json.dumps({"version": "0.2", "env": {"shell": "bash"}, "phases": phases, **changes})


def deployer(cloud: ChildCloud) -> RoleSession:
    keys = cloud.environment()
    return RoleSession("", keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], "")


@dataclass(frozen=True)
class Build:
    """One that was started."""

    cloud: ChildCloud
    id: str

    def record(self) -> dict[str, Any]:
        found = self.cloud.client("codebuild").batch_get_builds(ids=[self.id])["builds"]
        record: dict[str, Any] = found[0]
        return record

    def status(self) -> str:
        """Once it has ended."""
        return str(wait_for(lambda: (r := self.record())["buildComplete"] and r["buildStatus"]))

    def log(self) -> list[str]:
        return log_lines(self.cloud, self.record()["logs"]["groupName"])

    def phases(self) -> dict[str, tuple[str, str]]:
        """Status and message by the phase."""
        return {
            phase["phaseType"]: (
                phase.get("phaseStatus", ""),
                "".join(each["message"] for each in phase.get("contexts", [])),
            )
            for phase in self.record()["phases"]
        }

    def stop(self) -> None:
        self.cloud.client("codebuild").stop_build(id=self.id)


@dataclass(frozen=True)
class Projects:
    """Each project is of one buildspec."""

    cloud: ChildCloud

    def create(self, name: str, *commands: str, role: str = "build") -> str:
        source = {"type": "S3", "location": "source/a.zip", "buildspec": buildspec(*commands)}
        self.cloud.client("codebuild").create_project(
            name=name,
            source=source,
            artifacts={"type": "NO_ARTIFACTS"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL",
                "environmentVariables": [{"name": "WHO", "value": "the project"}],
            },
            serviceRole=role_arn(role),
        )
        return name

    def start(self, name: str, **more: Any) -> Build:
        started = self.cloud.client("codebuild").start_build(projectName=name, **more)
        return Build(self.cloud, started["build"]["id"])


@pytest.fixture(scope="module")
def projects(cloud: ChildCloud) -> Projects:
    logs = allow("logs:CreateLogStream logs:PutLogEvents", arn("logs", f"log-group:{GROUPS}/*"))
    source = allow("s3:GetObject", "arn:aws:s3:::source/*")
    make_role(cloud, "build", "codebuild", logs, source)
    make_role(cloud, "mute", "codebuild", source)
    for name, account in (("ours", ACCOUNT), ("theirs", "111122223333")):
        only = {"StringEquals": {"aws:SourceAccount": account}}
        make_role(cloud, name, "codebuild", logs, source, Condition=only)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("greeting.txt", "hello from the source\n")
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="source")
    s3.put_object(Bucket="source", Key="a.zip", Body=archive.getvalue())
    return Projects(cloud)


@pytest.fixture
def run(projects: Projects, request: pytest.FixtureRequest) -> Callable[..., Build]:
    """Runs a project of the test's name."""

    def started(*commands: str, role: str = "build") -> Build:
        name = request.node.name.replace("[", "-").rstrip("]")
        return projects.start(projects.create(name, *commands, role=role))

    return started


@pytest.fixture
def slow(run: Callable[..., Build]) -> Iterator[Build]:
    """One under way that would clear up if it could; its second line is a process's id."""
    build = run(f"{CLEARS_UP}; sleep 600 & echo pid $!; wait")
    wait_for(lambda: any(line.startswith("pid ") for line in build.log()))
    yield build
    build.stop()


def test_a_build_gets_its_source_and_the_overrides_and_logs_to_its_group(
    projects: Projects,
) -> None:
    projects.create("sourced", "cat greeting.txt", 'echo "for $WHO"')
    variables = [{"name": "WHO", "value": "the caller"}]

    build = projects.start("sourced", environmentVariablesOverride=variables)

    assert build.status() == "SUCCEEDED"
    assert build.record()["environment"]["environmentVariables"] == variables
    assert {"hello from the source", "for the caller"} <= set(build.log())


def test_a_layer_s_build_gets_packages_for_this_machine(projects: Projects) -> None:
    """Which the function will run on."""
    projects.create("layer", 'echo "for ${PIP_PLATFORM:-this machine}"')
    variables = [{"name": "PIP_PLATFORM", "value": "manylinux_2_28_aarch64"}]
    build = projects.start("layer", environmentVariablesOverride=variables)
    assert build.status() == "SUCCEEDED"
    assert "for this machine" in build.log()


@pytest.mark.parametrize(
    ("command", "status"), [("false", 1), ("exit 7", 7), ("(exit 3) && true", 3)]
)
def test_the_first_command_that_fails_ends_the_build_and_is_named(
    run: Callable[..., Build], command: str, status: int
) -> None:
    build = run(command, "echo unreached")
    assert build.status() == "FAILED"
    assert "unreached" not in build.log()
    said = f"Error while executing command: {command}. Reason: exit status {status}"
    assert build.phases()["BUILD"] == ("FAILED", said)


def test_a_stop_ends_the_processes_without_a_signal_to_clear_up_by(slow: Build) -> None:
    (pid,) = (int(line.split()[1]) for line in slow.log() if line.startswith("pid "))

    slow.stop()

    assert slow.status() == "STOPPED"
    assert not alive(pid)
    assert slow.phases()["BUILD"][0] == "STOPPED"
    assert "cleared up" not in slow.log()


@pytest.mark.usefixtures("projects")
def test_a_build_past_its_timeout_is_killed(cloud: ChildCloud, tmp_path: Path) -> None:
    """CodeBuild's least is five minutes, so this one is run by hand."""
    settings = replace(cloud.settings, state=tmp_path)
    settings.make_folders()
    spec = buildspec(f"{CLEARS_UP}; sleep 600", "echo after")
    plan = BuildPlan("p:1", "source/a.zip", spec, {}, 0.5, deployer(cloud))
    said: list[str] = []
    ends: dict[str, str] = {}

    status = BuildRun(
        settings, plan, said.append, lambda name, end, _: ends.update({name: end})
    ).run()

    assert (status, ends["BUILD"]) == ("TIMED_OUT", "TIMED_OUT")
    assert not {"after", "cleared up"} & set(said)
    assert list(settings.groups.iterdir()) == []


def test_a_build_sees_its_role_and_the_cloud_and_leaves_nothing(run: Callable[..., Build]) -> None:
    build = run("env | sort", "command -v docker", "echo x > file")
    assert build.status() == "SUCCEEDED"
    said, settings = build.log(), build.cloud.settings
    assert any(line.startswith("AWS_SESSION_TOKEN=") for line in said)
    assert f"AWS_ENDPOINT_URL={settings.url}" in said
    assert not any(line.startswith(("AWS_PROFILE", "SD_LOCAL_PORT")) for line in said)
    assert f"{settings.state}/bin/docker" in said
    assert not [path for path in settings.builds.iterdir() if build.id.split(":")[1] in path.name]


def test_the_same_idempotency_token_starts_nothing_new(projects: Projects) -> None:
    projects.create("tokens", "true")
    first, again = (projects.start("tokens", idempotencyToken="t") for _ in range(2))
    assert again == first


def test_every_change_of_state_is_an_event(cloud: ChildCloud, slow: Build) -> None:
    pattern = {
        "source": ["aws.codebuild"],
        "detail-type": ["CodeBuild Build State Change"],
        "detail": {"project-name": [slow.id.split(":")[0]]},
    }
    events = HeardEvents(cloud, "changes", pattern)
    another = Projects(cloud).start(slow.id.split(":")[0])
    wait_for(lambda: another.record()["currentPhase"] == "BUILD")
    another.stop()
    assert another.status() == "STOPPED"

    seen = [event["detail"]["build-status"] for event in events.first(2)]
    assert seen == ["IN_PROGRESS", "STOPPED"]


@pytest.mark.parametrize(
    ("role", "reason"),
    [("mute", "ACCESS_DENIED"), ("theirs", "Could not assume role"), ("ours", "")],
)
def test_a_role_must_let_the_log_be_written_and_trust_codebuild_for_this_account(
    run: Callable[..., Build], role: str, reason: str
) -> None:
    build = run("true", role=role)
    assert build.status() == ("FAILED" if reason else "SUCCEEDED")
    assert reason in build.phases()["SUBMITTED"][1]


def test_a_young_account_s_builds_are_refused_not_queued(
    cloud: ChildCloud, projects: Projects, slow: Build
) -> None:
    projects.create("quick", "true")
    for limit in ("1", "0"):
        with fault(cloud, "codebuild-quota", limit), pytest.raises(ClientError) as caught:
            projects.start("quick")
        error = caught.value.response["Error"]
        assert error["Code"] == "AccountLimitExceededException"
        assert f"Cannot have more than {limit} builds in queue for the acc" in error["Message"]
    slow.stop()
    slow.status()
    with fault(cloud, "codebuild-quota", "1"):
        assert projects.start("quick").status() == "SUCCEEDED"


@pytest.mark.parametrize(
    ("more", "message"),
    [({}, "Project cannot be found"), ({"buildspecOverride": "{}"}, "knows no buildspecOverride")],
)
def test_what_cannot_be_started_is_named(
    projects: Projects, more: dict[str, str], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        projects.start("nothing", **more)


@pytest.mark.parametrize(
    "spec",
    [
        buildspec("true", version="0.1"),
        buildspec("true", artifacts={}),
        buildspec("true", env={"shell": "bash", "secrets-manager": {}}),
        buildspec(phases={"build": {"commands": ["true"], "finally": []}}),
        buildspec(phases={"build": {"commands": ["true"]}, "post_build": {"commands": []}}),
        buildspec(phases={"build": {"commands": ["true"]}, "install": {"commands": ["true"]}}),
        buildspec(phases={"build": {"commands": [{}]}}),
        buildspec(phases={}),
        "version: 0.2",
    ],
)
def test_a_buildspec_that_cannot_be_had_here_is_refused(spec: str) -> None:
    with pytest.raises(BuildspecError, match="YAML_FILE_ERROR"):
        build_commands(spec)
