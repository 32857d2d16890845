"""Least privilege, checked on every policy of every template."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.infrastructure.support import Synthesized, text_of

# Actions AWS lets nobody narrow to a resource (Service Authorization Reference: no resource type).
UNSCOPED = {
    "ecr:GetAuthorizationToken": "the token is the account's",
    "cloudwatch:PutMetricData": "metrics have no ARN; a condition names the namespace",
    "sagemaker:ListTrainingJobs": "lists names",
}
# Where a name is known at run time only: what may stand before the star.
OPEN_ENDED = (
    r"<[^>]+>/(weights|compiled|compile-jobs)/.*",  # objects of an artifact
    r"<Images[^>]+>/",  # pictures, in a bucket for nothing else
    r"arn:<AWS::Partition>:logs:.*:log-group:/aws/sagemaker/[\w/-]+:log-stream:",
    r"arn:<AWS::Partition>:sagemaker:.*:training-job/sd-compile-(\w{12}-)?",
    r"arn:<AWS::Partition>:sagemaker:.*:endpoint/sd-",  # variants come and go
)


class Statement(NamedTuple):
    where: str
    actions: list[str]
    resources: list[str]
    raw: dict[str, Any]


def statements(synthesized: Synthesized) -> Iterator[Statement]:
    """Of what roles may do, wherever it is written."""
    for stack, template in synthesized.templates.items():
        for name, resource in template["Resources"].items():
            properties = resource.get("Properties", {})
            documents = []
            if resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
                documents.append(properties["PolicyDocument"])
            for inline in properties.get("Policies", ()):
                documents.append(inline["PolicyDocument"])
            for document in documents:
                for raw in document["Statement"]:
                    yield Statement(
                        f"{stack}/{name}",
                        _listed(raw["Action"]),
                        [text_of(resource) for resource in _listed(raw["Resource"])],
                        raw,
                    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def granted(aws: Synthesized) -> list[Statement]:
    return list(statements(aws))


def test_there_is_something_to_check(granted: list[Statement]) -> None:
    assert len({statement.where for statement in granted}) > 10


def test_no_action_is_a_wildcard(granted: list[Statement]) -> None:
    for statement in granted:
        assert statement.raw["Effect"] == "Allow"
        assert "NotAction" not in statement.raw
        for action in statement.actions:
            assert "*" not in action, statement


def test_no_statement_is_for_all_resources_where_aws_has_finer(granted: list[Statement]) -> None:
    for statement in granted:
        if "*" in statement.resources:
            assert set(statement.actions) <= UNSCOPED.keys(), statement
            if "cloudwatch:PutMetricData" in statement.actions:
                namespaces = statement.raw["Condition"]["StringEquals"]["cloudwatch:namespace"]
                assert namespaces, statement


def test_a_star_in_a_resource_stands_for_a_name_known_at_run_time(
    granted: list[Statement],
) -> None:
    for statement in granted:
        for resource in statement.resources:
            # The whole resource is the case above; a log group's own ARN ends in its streams' star.
            if "*" in resource and resource != "*":
                assert resource.endswith("*"), statement
                before = resource[:-1]
                assert any(re.fullmatch(pattern, before) for pattern in OPEN_ENDED), statement


def test_the_front_door_can_invoke_our_endpoints_and_nothing_else(
    aws: Synthesized, granted: list[Statement]
) -> None:
    (invoking,) = [s for s in granted if "sagemaker:InvokeEndpoint" in s.actions]
    assert invoking.where.startswith("SdApiStack/FrontDoor")
    assert [r.rsplit(":", 1)[1] for r in invoking.resources] == ["endpoint/sd-*"]
    for name in ("g5", "djl", "inf2"):
        assert getattr(aws.settings, name).endpoint_name.startswith("sd-")


def test_the_front_door_reads_the_registrations_alone(granted: list[Statement]) -> None:
    (reading,) = [s for s in granted if any(a.startswith("ssm:") for a in s.actions)]
    assert reading.actions == ["ssm:GetParametersByPath"]
    assert [r.rsplit(":", 1)[1] for r in reading.resources] == ["parameter/sd/variants"]


@pytest.mark.parametrize("stack", ["SdG5Stack", "SdDjlStack", "SdInf2Stack"])
def test_an_endpoint_reads_its_own_artifact_and_writes_nothing(
    granted: list[Statement], stack: str
) -> None:
    actions = {
        action
        for statement in granted
        if statement.where.startswith(f"{stack}/ServingRole")
        for action in statement.actions
    }
    assert actions == {
        "s3:GetObject",
        "s3:ListBucket",
        "kms:Decrypt",
        "ecr:GetAuthorizationToken",
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "cloudwatch:PutMetricData",
    }


@pytest.mark.parametrize(
    ("role", "repository"),
    [
        ("SdG5Stack/ImageBuildRole", "ImagesG5"),
        ("SdDjlStack/ImageBuildRole", "ImagesDjl"),
        ("SdInf2CompileStack/ImageBuildRole", "ImagesInf2"),
    ],
)
def test_an_image_build_deletes_in_its_own_repository_and_writes_its_record_alone(
    granted: list[Statement], role: str, repository: str
) -> None:
    mine = [statement for statement in granted if statement.where.startswith(role)]
    (deleting,) = [s for s in mine if "ecr:BatchDeleteImage" in s.actions]
    assert len(deleting.resources) == 1
    assert repository in deleting.resources[0]
    (writing,) = [s for s in mine if "s3:PutObject" in s.actions]
    assert len(writing.resources) == 1
    assert re.search(r"/images/[0-9a-f]{64}\.json$", writing.resources[0])
    # Of AWS's registry it may pull alone.
    (pulling,) = [s for s in mine if any(":763104351884:" in r for r in s.resources)]
    assert set(pulling.actions) == {
        "ecr:BatchCheckLayerAvailability",
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchGetImage",
    }


def test_nothing_may_pass_a_role_but_the_compile_its_own(granted: list[Statement]) -> None:
    (passing,) = [s for s in granted if "iam:PassRole" in s.actions]
    assert passing.where.startswith("SdInf2CompileStack/")
    assert passing.raw["Condition"] == {
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
    }


def test_service_roles_trust_their_service_for_this_account_alone(aws: Synthesized) -> None:
    """Wherever AWS documents that the service says for which account it acts."""
    seen = set()
    for template in aws.templates.values():
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::IAM::Role":
                (trust,) = resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
                service = trust["Principal"]["Service"]
                seen.add(service)
                if service in ("codebuild.amazonaws.com", "sagemaker.amazonaws.com"):
                    account = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
                    assert trust["Condition"] == {"StringEquals": account}
                else:
                    assert service in ("lambda.amazonaws.com", "apigateway.amazonaws.com")
                    assert "Condition" not in trust
    assert {"codebuild.amazonaws.com", "sagemaker.amazonaws.com"} <= seen


def test_listing_a_bucket_is_for_a_prefix(granted: list[Statement]) -> None:
    for statement in granted:
        if "s3:ListBucket" in statement.actions:
            (condition,) = statement.raw["Condition"].values()
            (prefixes,) = condition.values()
            for prefix in _listed(prefixes):
                assert re.match(r"(weights|compiled|compile-jobs|images)/", prefix), statement


def test_buckets_refuse_plain_http(aws: Synthesized) -> None:
    buckets = {
        (stack, name) for stack in aws.templates for name in aws.resources(stack, "AWS::S3::Bucket")
    }
    refusing = {
        (stack, policy["Properties"]["Bucket"]["Ref"])
        for stack in aws.templates
        for policy in aws.resources(stack, "AWS::S3::BucketPolicy").values()
        if any(
            s["Effect"] == "Deny" and s["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            for s in policy["Properties"]["PolicyDocument"]["Statement"]
        )
    }
    assert buckets == refusing
    assert len(buckets) == 2


def test_no_policy_is_managed(aws: Synthesized) -> None:
    """Each grows without asking."""
    for stack in aws.templates:
        for role in aws.resources(stack, "AWS::IAM::Role").values():
            assert "ManagedPolicyArns" not in role["Properties"], stack
