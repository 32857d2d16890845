"""A CloudWatch log group with a retention."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks.settings import LOG_DAYS

_RETENTION = dict(
    zip(
        LOG_DAYS,
        (
            logs.RetentionDays.ONE_DAY,
            logs.RetentionDays.THREE_DAYS,
            logs.RetentionDays.FIVE_DAYS,
            logs.RetentionDays.ONE_WEEK,
            logs.RetentionDays.TWO_WEEKS,
            logs.RetentionDays.ONE_MONTH,
            logs.RetentionDays.TWO_MONTHS,
            logs.RetentionDays.THREE_MONTHS,
            logs.RetentionDays.FOUR_MONTHS,
            logs.RetentionDays.FIVE_MONTHS,
            logs.RetentionDays.SIX_MONTHS,
            logs.RetentionDays.ONE_YEAR,
        ),
        strict=True,
    )
)


class LogGroup(logs.LogGroup):
    """`days` is one of settings.LOG_DAYS. With `keep` the group stays when its stack goes. `name`
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
            retention=_RETENTION[days],
            removal_policy=(
                RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if keep else RemovalPolicy.DESTROY
            ),
        )


def allow_log_writes(group: logs.ILogGroup) -> iam.PolicyStatement:
    """For a role's policy."""
    return iam.PolicyStatement(
        actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[group.log_group_arn]
    )
