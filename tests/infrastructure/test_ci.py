"""The user's workflow: no stored key, no right that a job doesn't need, nothing unpinned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.settings import ROOT
from tests.infrastructure.other_checkers import workflow_problems

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert workflow["permissions"] == {}
    found: dict[str, Any] = workflow["jobs"]
    return found


def test_nothing_is_stored() -> None:
    text = WORKFLOW.read_text()
    for word in ("secrets.", "aws-access-key-id", "AWS_SECRET_ACCESS_KEY", "pull_request_target"):
        assert word not in text


def test_only_the_diff_meets_aws_and_it_runs_no_code_of_the_pull_request(
    jobs: dict[str, Any],
) -> None:
    (diff,) = (name for name, job in jobs.items() if "id-token" in job["permissions"])
    assert diff == "diff"
    checkout = jobs[diff]["steps"][0]["with"]
    assert checkout["ref"] == "${{ github.event.pull_request.base.sha }}"
    commands = [step["run"] for step in jobs[diff]["steps"] if "run" in step]
    assert commands[0] == "npm ci --ignore-scripts"
    assert "--app cdk.out" in commands[1]
    for name, job in jobs.items():
        if name != diff:
            assert job["permissions"] == {"contents": "read"}


@pytest.mark.environments
def test_nothing_is_found_in_the_workflow() -> None:
    assert workflow_problems(WORKFLOW) == []


@pytest.mark.environments
@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("timeout-minutes: 120", "timeout-minuts: 120", "schema: "),
        ("actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1", "actions/checkout@v7",
         "zizmor: unpinned-uses"),
        ("      - run: make test", "      - run: echo ${{ github.event.pull_request.title }}",
         "zizmor: template-injection"),
        ("  pull_request:\n", "  pull_request_target:\n", "zizmor: dangerous-triggers"),
    ],
    ids=lambda value: value if value.startswith(("schema", "zizmor")) else "",
)  # fmt: skip
def test_a_fault_is_found(before: str, after: str, found: str, tmp_path: Path) -> None:
    planted = tmp_path / ".github" / "workflows" / "ci.yml"
    planted.parent.mkdir(parents=True)
    assert before in WORKFLOW.read_text()
    planted.write_text(WORKFLOW.read_text().replace(before, after))
    problems = workflow_problems(planted)
    assert [each for each in problems if each.startswith(found)], problems
