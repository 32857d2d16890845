"""A role that an AWS service works under."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct


class ServiceRole(iam.Role):
    """`service` such as "codebuild.amazonaws.com" may take it for this account's own resources, and
    for nobody else's.

    Good for services that say for which account they act: CodeBuild (its user guide,
    setting-up-service-role) and SageMaker (its guide, security-confused-deputy-prevention) do.
    Lambda's and API Gateway's guides don't say so of the roles they assume: with the condition,
    those could never be assumed.
    """

    def __init__(self, scope: Construct, id: str, *, service: str) -> None:
        super().__init__(
            scope,
            id,
            assumed_by=iam.ServicePrincipal(
                service,
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}},
            ),
        )
