"""docs/operations.md names all that outlives `cdk destroy --all`, held against the templates."""

import re
from pathlib import Path

import pytest

from operations.teardown.left import KEEPING
from stacks.settings import ROOT
from tests.infrastructure.support import Resource, Synthesized, synthesize

BUCKET = "AWS::S3::Bucket"
Kept = set[tuple[str, str]]


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    """The table's cells."""
    page = (ROOT / "docs" / "operations.md").read_text()
    section = page.split("## What stays after a destroy\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture(scope="module")
def told(rows: list[list[str]]) -> Kept:
    """(stack, type) of each row that names both."""
    return {
        (stack, kind)
        for _, kinds, owners, _ in rows
        for stack in re.findall(r"`(Sd\w+)`", owners)
        for kind in re.findall(r"`(AWS::[\w:]+)`", kinds)
    }


def kept(synthesized: Synthesized) -> list[tuple[str, Resource]]:
    """With its stack, what outlives it."""
    return [
        (stack, resource)
        for stack, template in synthesized.templates.items()
        for resource in template["Resources"].values()
        if resource.get("DeletionPolicy", "Delete") != "Delete"
    ]


def test_all_that_stays_is_listed_and_nothing_else(
    aws: Synthesized, told: Kept, tmp_path: Path
) -> None:
    logging = synthesize(tmp_path, **{"sd.api.gateway_logs": "set-account-role"})
    found = {(stack, resource["Type"]) for stack, resource in kept(aws) + kept(logging)}
    assert told == found
    assert {stack for stack, _ in found} == {aws.settings.names.stack(name) for name in KEEPING}


def test_what_is_kept_goes_with_a_creation_that_fails(aws: Synthesized) -> None:
    """A retained resource in a stack that can fail is an orphan in the making."""
    for stack, resource in kept(aws):
        emptied = (
            stack in ("SdApiStack", "SdBatchStack", "SdGalleryStack") and resource["Type"] == BUCKET
        )
        assert emptied or stack == "SdStorageStack"
        assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resource["UpdateReplacePolicy"] == "Retain"


def test_each_says_what_removes_it(rows: list[list[str]]) -> None:
    for what, _, owner, command in rows:
        assert what
        assert owner
        assert re.search(r"`aws |the same|goes with|nothing can", command), what


def test_groups_that_a_service_makes_by_itself_are_listed(
    aws: Synthesized, rows: list[list[str]]
) -> None:
    """Those of roles that may make one: no template deletes it."""
    made = {
        found[1]
        for statement in aws.statements()
        if "logs:CreateLogGroup" in statement.actions
        for resource in statement.resources
        if (found := re.search(r":log-group:([^:]+)", resource))
    }
    assert made
    assert made <= {name for _, kinds, _, _ in rows for name in re.findall(r"`(/[^`]+)`", kinds)}
