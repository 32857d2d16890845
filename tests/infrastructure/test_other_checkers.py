"""checkov, parliament and zizmor leave nothing open, and would find a fault: each is planted, and
found."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_s3 as s3

from stacks.acknowledge import acknowledge
from tests.infrastructure.other_checkers import checkov, identity_policies, parliament
from tests.infrastructure.support import REGION, Synthesized, synthesize
from tests.infrastructure.test_aws_models import MOST

pytestmark = pytest.mark.environments


@pytest.fixture(scope="module")
def most(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """With all that settings turn on."""
    context = {**MOST, "sd.api.gateway_logs": "set-account-role"}
    return synthesize(tmp_path_factory.mktemp("most"), **context)


def test_checkov_leaves_nothing_open(aws: Synthesized, most: Synthesized) -> None:
    folders = (aws.folder, most.folder)
    assert checkov([p for f in folders for p in sorted(f.glob("*.template.json"))]) == []


def test_checkov_finds_an_open_bucket_but_not_one_with_a_reason(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    stack = Stack(app, "Planted")
    safe: dict[str, Any] = {"block_public_access": s3.BlockPublicAccess.BLOCK_ALL}
    acknowledge(s3.Bucket(stack, "Known", **safe), "a reason", "CKV_AWS_18", "CKV_AWS_21")
    open_one = s3.Bucket(stack, "Open", **safe)
    acknowledge(open_one, "another", "CKV_AWS_21")
    app.synth()
    (found,) = checkov([tmp_path / "Planted.template.json"])
    name = stack.get_logical_id(open_one.node.default_child)  # type: ignore[arg-type]
    assert found.startswith(f"Planted.template.json/AWS::S3::Bucket.{name}: CKV_AWS_18,")


def test_parliament_leaves_nothing_open(
    aws: Synthesized, most: Synthesized, tmp_path: Path
) -> None:
    policies = {
        f"{name}.{policy}": document
        for name, app in (("aws", aws), ("most", most))
        for policy, document in identity_policies(app.templates, REGION).items()
    }
    assert len(policies) > 50
    assert parliament(policies, tmp_path) == []


@pytest.mark.parametrize(
    ("changed", "issue"),
    [
        ({"Action": "sagemaker:InvokeEndpoints"}, "UNKNOWN_ACTION"),
        ({"Resource": "*"}, "RESOURCE_STAR"),
        ({"Resource": "arn:aws:s3:::a-bucket/a-key"}, "RESOURCE_MISMATCH"),
        ({"Condition": {"StringEquals": {"s3:prefix": "a"}}}, "UNKNOWN_CONDITION_FOR_ACTION"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parliament_finds(
    changed: dict[str, Any], issue: str, aws: Synthesized, tmp_path: Path
) -> None:
    policies = identity_policies(aws.templates, REGION)
    name, document = next(
        (name, copy.deepcopy(document))
        for name, document in policies.items()
        if "sagemaker:InvokeEndpoint" in str(document)
    )
    (statement, *_) = (
        statement
        for statement in document["Statement"]
        if statement["Action"] == "sagemaker:InvokeEndpoint" and statement["Effect"] == "Allow"
    )
    statement.update(changed)
    (found,) = parliament({name: document}, tmp_path)
    assert found.startswith(f"{name}: {issue} ")
