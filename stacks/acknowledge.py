"""Findings of other people's checkers that are right and stay: each on its one resource, with its
reason."""

from typing import Any

from aws_cdk import Acknowledgment, CfnResource, Validations
from constructs import IConstruct

CHECKOV = "CKV_"


def acknowledge(construct: IConstruct, reason: str, *rules: str) -> None:
    """`rules` are cdk-nag's, such as "AwsSolutions-IAM5[Resource::*]" or "Serverless-LambdaDLQ",
    and checkov's, such as "CKV_AWS_18", which hold for the construct's own resource alone."""
    of_checkov = [rule for rule in rules if rule.startswith(CHECKOV)]
    Validations.of(construct).acknowledge(
        *(Acknowledgment(id=rule, reason=reason) for rule in rules if rule not in of_checkov)
    )
    if of_checkov:
        _skip(construct, reason, of_checkov)


def _skip(construct: IConstruct, reason: str, rules: list[str]) -> None:
    """Where checkov looks: the resource's metadata (its docs, "Suppressing and Skipping
    Policies")."""
    resource = construct if isinstance(construct, CfnResource) else construct.node.default_child
    assert isinstance(resource, CfnResource), construct.node.path
    metadata: Any = resource.get_metadata("checkov")
    skipped = [*metadata["skip"]] if metadata else []
    skipped += [{"id": rule, "comment": reason} for rule in rules]
    resource.add_metadata("checkov", {"skip": skipped})
