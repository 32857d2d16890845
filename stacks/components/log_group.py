"""A CloudWatch log group with a retention."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks.acknowledge import acknowledge


class LogGroup(logs.LogGroup):
    """`days` is one that settings allow. With `keep` the group stays when its stack goes. `name`
    is for a group that a service finds by its name."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        days: int,
        keep: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(
            scope,
            id,
            log_group_name=name,
            removal_policy=(
                RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if keep else RemovalPolicy.DESTROY
            ),
        )
        # Not by CDK's enum, whose names say them in words.
        resource = self.node.default_child
        assert isinstance(resource, logs.CfnLogGroup)
        resource.retention_in_days = days
        acknowledge(
            self,
            "Encrypted with CloudWatch's own keys. No group holds keys, signatures or, unless its "
            "owner wants them there (sd.api.log_prompts), prompts.",
            "CKV_AWS_158",
        )
