"""Builds of the local cloud: the rules of phases."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from local_cloud.bridge import RoleSession
from local_cloud.buildspec import BuildspecError, parse_buildspec
from local_cloud.codebuild_runner import BuildOutcome, BuildPlan, BuildRun
from local_cloud.settings import CloudSettings
from tests.local_fakes import wait_for

ROLE = RoleSession("arn:aws:iam::000000000000:role/build", "ASIA1", "secret", "token")


class Build:
    """Runs phases straight through BuildRun, without a cloud; the log and the phases' ends."""

    def __init__(self, folder: Path) -> None:
        self.settings = CloudSettings(port=1, state=folder)
        self.settings.make_folders()
        self.log: list[str] = []
        self.phases: dict[str, str] = {}
        self.contexts: dict[str, str] = {}

    def plan(self, timeout_s: float = 60.0, spec: str = "", **phases: list[str]) -> BuildPlan:
        document = {
            "version": "0.2",
            "env": {"variables": {"FROM_SPEC": "spec"}, "exported-variables": ["RESULT"]},
            "phases": {name: {"commands": lines} for name, lines in phases.items()},
        }
        return BuildPlan(
            build_id="project:1",
            arn="arn:aws:codebuild:us-east-1:000000000000:build/project:1",
            number=1,
            source_type="NO_SOURCE",
            source_location="",
            buildspec=spec or json.dumps(document),
            environment={"FROM_PROJECT": "project"},
            timeout_s=timeout_s,
            role=ROLE,
            log_stream="1",
            encryption_key="",
            initiator="test",
        )

    def start(self, plan: BuildPlan) -> BuildRun:
        return BuildRun(self.settings, plan, self.log.append, self._note)

    def run(self, **phases: Any) -> BuildOutcome:
        return self.start(self.plan(**phases)).run()

    def _note(self, name: str, status: str, context: str) -> None:
        self.phases[name], self.contexts[name] = status, context


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path)


def test_variables_and_the_folder_carry_over_from_phase_to_phase(build: Build) -> None:
    outcome = build.run(
        pre_build=["mkdir inner && cd inner", "X='two words'"],
        build=['RESULT="$X in $(basename "$PWD"), $FROM_SPEC, $FROM_PROJECT"'],
        post_build=['echo "got $RESULT"'],
    )

    assert outcome.status == "SUCCEEDED"
    assert outcome.exported == {"RESULT": "two words in inner, spec, project"}
    assert "got two words in inner, spec, project" in build.log


def test_a_failing_build_phase_still_runs_post_build_which_knows_of_it(build: Build) -> None:
    outcome = build.run(
        build=["false", "echo unreached"],
        post_build=['echo "succeeding=$CODEBUILD_BUILD_SUCCEEDING"'],
    )

    assert outcome.status == "FAILED"
    assert "succeeding=0" in build.log
    assert "unreached" not in build.log
    assert build.contexts["BUILD"] == (
        "Error while executing command: false. Reason: exit status 1"
    )


@pytest.mark.parametrize("phase", ["install", "pre_build"])
def test_a_failure_before_the_build_phase_ends_the_build(build: Build, phase: str) -> None:
    outcome = build.run(**{phase: ["exit 7"], "build": ["echo a"], "post_build": ["echo b"]})

    assert outcome.status == "FAILED"
    assert "exit status 7" in build.contexts[phase.upper()]
    assert "BUILD" not in build.phases
    assert "POST_BUILD" not in build.phases


def test_a_failing_post_build_fails_the_build(build: Build) -> None:
    assert build.run(build=["true"], post_build=["false"]).status == "FAILED"


def test_finally_runs_after_a_failure_and_continue_goes_on(build: Build) -> None:
    spec = json.dumps(
        {
            "version": 0.2,
            "phases": {
                "install": {
                    "commands": ["false"],
                    "finally": ["echo cleared up"],
                    "on-failure": "CONTINUE",
                },
                "build": {"commands": "echo built"},
            },
        }
    )

    outcome = build.run(spec=spec)

    assert {"cleared up", "built"} <= set(build.log)
    assert outcome.status == "SUCCEEDED"


CLEARS_UP = "trap 'echo cleared up' TERM INT HUP EXIT"


def test_a_stop_ends_the_processes_without_a_signal_to_clear_up_by(
    build: Build, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    line = f"{CLEARS_UP}; sleep 600 & echo $! > {started}; wait"
    run = build.start(build.plan(build=[line]))
    outcomes: list[BuildOutcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(run.run()))
    thread.start()
    sleeper = int(wait_for(lambda: started.exists() and started.read_text().strip()))

    run.stop()
    thread.join(30)

    import psutil

    assert outcomes[0].status == "STOPPED"
    assert not psutil.pid_exists(sleeper) or psutil.Process(sleeper).status() == "zombie"
    assert build.phases["BUILD"] == "STOPPED"
    assert "cleared up" not in build.log


def test_a_build_past_its_timeout_is_killed_without_post_build(build: Build) -> None:
    line = f"{CLEARS_UP}; sleep 600"
    outcome = build.run(timeout_s=0.5, build=[line], post_build=["echo after"])

    assert outcome.status == "TIMED_OUT"
    assert not {"after", "cleared up"} & set(build.log)


def test_a_build_sees_its_role_and_the_cloud_and_nothing_else_of_this_machine(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "private")
    build.run(build=["env | sort", "command -v docker", "python3 -c 'import sys; print(sys.path)'"])

    assert "AWS_ACCESS_KEY_ID=ASIA1" in build.log
    assert "AWS_ENDPOINT_URL=http://127.0.0.1:1" in build.log
    assert not any("AWS_PROFILE" in line for line in build.log)
    assert f"{build.settings.state}/bin/docker" in build.log


def test_nothing_is_left_of_a_build(build: Build) -> None:
    build.run(build=["echo x > file"])

    assert list(build.settings.builds.iterdir()) == []
    assert list(build.settings.groups.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 0.1", "version must be 0.2"),
        ("version: 0.2\nphase: {}", "buildspec has phase"),
        ("version: 0.2\nphases: {deploy: {}}", "phases has deploy"),
        ("version: 0.2\nphases: {build: {commands: [{a: b}]}}", "as strings"),
        ("version: 0.2\nenv: {secrets-manager: {A: b}}", "env has secrets-manager"),
        ("version: [", "YAML_FILE_ERROR"),
    ],
)
def test_a_wrong_buildspec_is_named(text: str, message: str) -> None:
    with pytest.raises(BuildspecError, match=message):
        parse_buildspec(text)
