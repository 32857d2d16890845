"""Alarms with somebody at the end: what each is about, and what to do first."""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.settings import Names


@dataclass(frozen=True)
class Metric:
    """`statistic` is "Sum", "Average", "Maximum", "SampleCount", or a percentile such as "p90"."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str = "Sum"


@dataclass(frozen=True)
class Trouble:
    """`what` is the matter, and the first three things to do about it. Together they are an
    alarm's description, which mails of it have in them: at most 1024 characters (botocore,
    PutMetricAlarm)."""

    what: str
    steps: tuple[str, str, str]

    def __str__(self) -> str:
        steps = " ".join(f"{number}. {step}." for number, step in enumerate(self.steps, 1))
        return f"{self.what}. {steps}"


class Alarm(cloudwatch.CfnAlarm):
    """It tells the topic that `names` has for alarms, when `threshold` is reached or exceeded in
    each of `periods` periods. `missing` is what a period without data counts as."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        names: Names,
        trouble: Trouble,
        metric: Metric,
        threshold: float,
        period_s: int = 60,
        periods: int = 1,
        comparison: str = "GreaterThanOrEqualToThreshold",
        missing: str = "notBreaching",
    ) -> None:
        percentile = metric.statistic.startswith("p")
        super().__init__(
            scope,
            id,
            alarm_description=str(trouble),
            alarm_actions=[topic_arn(scope, names)],
            namespace=metric.namespace,
            metric_name=metric.name,
            dimensions=dimensions_of(metric.dimensions),
            statistic=None if percentile else metric.statistic,
            extended_statistic=metric.statistic if percentile else None,
            period=period_s,
            evaluation_periods=periods,
            threshold=threshold,
            comparison_operator=comparison,
            treat_missing_data=missing,
        )


def alarm_of_errors(
    scope: Construct, id: str, names: Names, function: lambda_.IFunction, trouble: Trouble
) -> Alarm:
    """Of those that a function has no answer for: it couldn't start, failed, or was ended."""
    metric = Metric("AWS/Lambda", "Errors", {"FunctionName": function.function_name})
    return Alarm(scope, id, names=names, trouble=trouble, metric=metric, threshold=1, period_s=300)


def alarm_of_letters(
    queue: sqs.IQueue,
    names: Names,
    trouble: Trouble,
    metric: str = "ApproximateNumberOfMessagesVisible",
) -> Alarm:
    """Of a queue's, beside it: by the one metric that says there are any, or that some came."""
    scope = queue.node.scope
    assert isinstance(scope, Construct)
    return Alarm(
        scope,
        f"{queue.node.id}Alarm",
        names=names,
        trouble=trouble,
        metric=Metric("AWS/SQS", metric, {"QueueName": queue.queue_name}),
        threshold=1,
        period_s=300,
    )


def topic_arn(scope: Construct, names: Names) -> str:
    """By its name: so nothing that has an alarm keeps the topic's stack from being changed, or is
    kept by it."""
    return Stack.of(scope).format_arn(service="sns", resource=names.alarms)


def dimensions_of(values: Mapping[str, str]) -> list[cloudwatch.CfnAlarm.DimensionProperty]:
    return [
        cloudwatch.CfnAlarm.DimensionProperty(name=name, value=value)
        for name, value in values.items()
    ]
