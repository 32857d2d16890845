"""What roles may do: actions on resources by their names, and what needs a wildcard, each with the
reason it stands for.

No action is ever a wildcard. A resource is one only here: objects below a prefix, what gets its
name at run time, and actions for which AWS has no resource to name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3

from stacks.acknowledge import acknowledge

Conditions = dict[str, Any] | None


def grant(
    role: iam.Role, actions: Sequence[str], *resources: str, conditions: Conditions = None
) -> None:
    role.add_to_policy(
        iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)
    )


def grant_key(role: iam.Role, key: kms.IKey) -> None:
    """Reading and writing what it encrypts."""
    actions = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]
    grant(role, actions, key.key_arn)


def grant_objects(
    role: iam.Role, bucket: s3.Bucket, prefix: str, actions: Sequence[str], *, why: str
) -> None:
    """`actions` on the objects below `prefix` ("" for all of them)."""
    pattern = f"{prefix}*"
    grant(role, actions, bucket.arn_for_objects(pattern))
    acknowledge(
        role, why, f"AwsSolutions-IAM5[Resource::{_arn_in_findings(role, bucket)}/{pattern}]"
    )


def grant_listing(role: iam.Role, bucket: s3.IBucket, prefix: str) -> None:
    """Listing the bucket below `prefix`; needs no wildcard resource. So of an object there that is
    absent S3 says so, in place of a refusal: the condition sees its key (ceph/ceph#68577)."""
    below = {"StringLike": {"s3:prefix": f"{prefix}*"}}
    grant(role, ["s3:ListBucket"], bucket.bucket_arn, conditions=below)


def grant_seeing(role: iam.Role, bucket: s3.IBucket, objects: str | list[str]) -> None:
    """Whether they are there: tells an absent one from one that mustn't be read."""
    named = {"StringEquals": {"s3:prefix": objects}}
    grant(role, ["s3:ListBucket"], bucket.bucket_arn, conditions=named)


def grant_log_writes(role: iam.Role, group: logs.ILogGroup) -> None:
    grant(role, ["logs:CreateLogStream", "logs:PutLogEvents"], group.log_group_arn)


def grant_log_streams(
    role: iam.Role, group: str, actions: Sequence[str], *, why: str, streams: str = "*"
) -> None:
    """`actions` on a log group that a service makes, and on the streams of that pattern in it."""
    here = Stack.of(role)
    arn = f"arn:{here.partition}:logs:{here.region}:{here.account}:log-group:{group}"
    grant(role, actions, arn, f"{arn}:log-stream:{streams}")
    place = shown_place(here)
    shown = f"arn:<AWS::Partition>:logs:{place}:log-group:{group}:log-stream:{streams}"
    acknowledge(role, why, f"AwsSolutions-IAM5[Resource::{shown}]")


def grant_named(
    role: iam.Role, actions: Sequence[str], pattern: str, *, why: str, but: str | None = None
) -> None:
    """`actions` on SageMaker's resources of this account whose kind and name fit: "endpoint/sd-*".
    Those that fit `but` as well are refused, whoever else allows them."""
    here = Stack.of(role)
    arn = f"arn:{here.partition}:sagemaker:{here.region}:{here.account}"
    for effect, named in ((iam.Effect.ALLOW, pattern), (iam.Effect.DENY, but)):
        if named:
            role.add_to_policy(
                iam.PolicyStatement(
                    effect=effect, actions=list(actions), resources=[f"{arn}:{named}"]
                )
            )
    shown = f"arn:<AWS::Partition>:sagemaker:{shown_place(here)}:{pattern}"
    acknowledge(role, why, f"AwsSolutions-IAM5[Resource::{shown}]")


def grant_pull(role: iam.Role, repository_arn: str) -> None:
    """Needs REGISTRY_LOGIN besides."""
    grant(role, PULL, repository_arn)


def grant_push(role: iam.Role, repository_arn: str, *more: str) -> None:
    """What docker asks for, and whether an image is there. Needs REGISTRY_LOGIN besides."""
    grant(role, [*PULL, *PUSH, *more], repository_arn)


@dataclass(frozen=True)
class Unscoped:
    """An action AWS lets nobody narrow to a resource; `conditions` narrow it where they can."""

    action: str
    why: str
    conditions: Conditions = None


PULL = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
PUSH = (
    "ecr:DescribeImages",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)
# Service Authorization Reference, Amazon ECR: the action has no resource types.
REGISTRY_LOGIN = Unscoped(
    "ecr:GetAuthorizationToken", "the registry token is the account's, for no repository by itself"
)
LIST_TRAINING_JOBS = Unscoped(
    "sagemaker:ListTrainingJobs", "it lists names; AWS has no resource for it"
)


def metrics_in(*namespaces: str) -> Unscoped:
    return Unscoped(
        "cloudwatch:PutMetricData",
        "metrics have no ARN; the namespace is as fine as it gets",
        {"StringEquals": {"cloudwatch:namespace": list(namespaces)}},
    )


def grant_unscoped(role: iam.Role, *actions: Unscoped) -> None:
    """Call it once for a role: the finding is one for all of them."""
    for each in actions:
        grant(role, [each.action], "*", conditions=each.conditions)
    acknowledge(
        role,
        "; ".join(f"{each.action}: {each.why}" for each in actions),
        "AwsSolutions-IAM5[Resource::*]",
    )


def shown_place(stack: Stack) -> str:
    """How cdk-nag writes a stack's region, which is set, and its account, which isn't."""
    return f"{stack.region}:<AWS::AccountId>"


def _arn_in_findings(role: iam.Role, bucket: s3.Bucket) -> str:
    """How cdk-nag writes the bucket's ARN: by logical id, or from another stack by its export."""
    if Stack.of(role) == bucket.stack:
        resource = bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        return f"<{bucket.stack.get_logical_id(resource)}.Arn>"
    exported = bucket.stack.export_value(bucket.bucket_arn)
    return str(bucket.stack.resolve(exported)["Fn::ImportValue"])
