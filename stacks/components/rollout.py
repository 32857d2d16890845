"""How a real-time endpoint is updated: how its traffic goes over, and which alarms send it back.

The alarms see the fleet of one configuration alone, by a dimension that metrics have from the
update on (developer guide, deployment-guardrails-configuration): else an endpoint that fails could
not take the fix, and would be sent back to its fault. Their names make them other alarms with each
configuration: a changed one keeps its state.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.components.alarms import Trouble, dimensions_of
from stacks.components.sagemaker_model import PRODUCTION_VARIANT
from stacks.settings import VariantSettings
from stacks.settings.rollout import ALL_AT_ONCE, CANARY

NAMESPACE = "AWS/SageMaker"
PERIOD_S = 60
# One large request can make the median of a quiet minute.
SLOW_PERIODS = 2
FAILED_REQUESTS = 3
# When an alarm is known to be in ALARM, at the latest after it has begun: its periods are over, the
# metric has arrived (about 2 minutes for one of a minute's frequency: docs.datadoghq.com,
# cloud-metric-delay), and the alarm is evaluated, which is once a minute.
ALARM_DELAY_S = SLOW_PERIODS * PERIOD_S + 120 + 60
# Until SageMaker has the instances, which isn't published.
INSTANCES_S = 1_800


class Rollout:
    """`alarms` are made in `scope`; `deployment` is the endpoint's."""

    def __init__(self, scope: Construct, variant: VariantSettings, config: str) -> None:
        dimensions = dimensions_of(
            {
                "EndpointName": variant.endpoint_name,
                "VariantName": PRODUCTION_VARIANT,
                "EndpointConfigName": config,
            }
        )

        def alarm(id: str, end: str, what: str, **on: Any) -> cloudwatch.CfnAlarm:
            several: Mapping[str, Any] = {"evaluation_periods": 1, "threshold": FAILED_REQUESTS}
            return cloudwatch.CfnAlarm(
                scope,
                id,
                alarm_name=f"{config}-{end}",
                alarm_description=str(
                    Trouble(f"{variant.endpoint_name}: {what}", _steps(variant.container_logs[0]))
                ),
                comparison_operator="GreaterThanOrEqualToThreshold",
                treat_missing_data="notBreaching",
                **{**several, **on},
            )

        self.alarms = [
            alarm(
                "NewFleetFailing",
                "failing",
                "requests fail in the newest fleet",
                namespace=NAMESPACE,
                metric_name="Invocation5XXErrors",
                dimensions=dimensions,
                statistic="Sum",
                period=PERIOD_S,
            ),
            alarm(
                "NewFleetUnanswered",
                "unanswered",
                "the newest fleet doesn't answer requests",
                metrics=_unanswered(dimensions),
            ),
            alarm(
                "NewFleetSlow",
                "slow",
                "half of the newest fleet's requests are slower than rollout.slow_factor allows",
                namespace=NAMESPACE,
                metric_name="ModelLatency",
                dimensions=dimensions,
                extended_statistic="p50",
                period=PERIOD_S,
                evaluation_periods=SLOW_PERIODS,
                threshold=round(variant.rollout.slow_factor * usual_s(variant) * 1e6),
            ),
        ]
        self.deployment = _deployment(variant, self.alarms)


def _steps(log: str) -> tuple[str, str, str]:
    return (
        "Nothing, while an update is under way: it goes back by itself",
        f"Read what the new containers have logged, {log}",
        "Mend the cause, or where the change may be slower raise rollout.slow_factor, and deploy",
    )


def usual_s(variant: VariantSettings) -> float:
    """A request's latency, by what is registered of a picture of the default steps, and as many of
    them at an instance as scaling lets there be."""
    at_once = max(1.0, variant.scaling.target_concurrency)
    return variant.usual_s * at_once


def watched_s(variant: VariantSettings) -> int:
    """How long each share of the traffic is watched, and the old fleet stays."""
    return ALARM_DELAY_S + variant.rollout.watch_s


def _unanswered(
    dimensions: Sequence[cloudwatch.CfnAlarm.DimensionProperty],
) -> list[cloudwatch.CfnAlarm.MetricDataQueryProperty]:
    """InvocationModelErrors has what has no status as well: "low-level socket errors, malformed
    HTTP responses, and request timeouts" (developer guide, monitoring-cloudwatch). Of what has one
    5xx has an alarm of its own, and 4xx is mostly a caller's fault."""
    metrics = {
        "errors": "InvocationModelErrors",
        "client": "Invocation4XXErrors",
        "server": "Invocation5XXErrors",
    }
    query = cloudwatch.CfnAlarm.MetricDataQueryProperty
    return [
        query(id="unanswered", expression=" - ".join(metrics), return_data=True),
        *(
            query(
                id=name,
                metric_stat=cloudwatch.CfnAlarm.MetricStatProperty(
                    metric=cloudwatch.CfnAlarm.MetricProperty(
                        namespace=NAMESPACE, metric_name=metric, dimensions=list(dimensions)
                    ),
                    period=PERIOD_S,
                    stat="Sum",
                ),
                return_data=False,
            )
            for name, metric in metrics.items()
        ),
    ]


def _deployment(
    variant: VariantSettings, alarms: Sequence[cloudwatch.CfnAlarm]
) -> sagemaker.CfnEndpoint.DeploymentConfigProperty:
    """Without auto_rollback nothing is watched, so there is nothing to wait for."""
    rollout = variant.rollout
    kind = rollout.type if variant.auto_rollback else ALL_AT_ONCE
    wait_s = watched_s(variant) if variant.auto_rollback else 0
    size = sagemaker.CfnEndpoint.CapacitySizeProperty(
        type="CAPACITY_PERCENT", value=rollout.percent
    )
    if kind == ALL_AT_ONCE:
        shares = 1
        routing = sagemaker.CfnEndpoint.TrafficRoutingConfigProperty(
            # SageMaker's API wants the interval even where there is one step.
            type="ALL_AT_ONCE",
            wait_interval_in_seconds=0,
        )
    elif kind == CANARY:
        shares = 2
        routing = sagemaker.CfnEndpoint.TrafficRoutingConfigProperty(
            type="CANARY", canary_size=size, wait_interval_in_seconds=wait_s
        )
    else:
        shares = math.ceil(100 / rollout.percent)
        routing = sagemaker.CfnEndpoint.TrafficRoutingConfigProperty(
            type="LINEAR", linear_step_size=size, wait_interval_in_seconds=wait_s
        )
    starts_s = INSTANCES_S + variant.download_timeout_s + variant.startup_timeout_s
    return sagemaker.CfnEndpoint.DeploymentConfigProperty(
        blue_green_update_policy=sagemaker.CfnEndpoint.BlueGreenUpdatePolicyProperty(
            traffic_routing_configuration=routing,
            termination_wait_in_seconds=wait_s,
            # What it is without one isn't published.
            maximum_execution_timeout_in_seconds=shares * wait_s + starts_s,
        ),
        auto_rollback_configuration=(
            sagemaker.CfnEndpoint.AutoRollbackConfigProperty(
                alarms=[
                    sagemaker.CfnEndpoint.AlarmProperty(alarm_name=alarm.ref) for alarm in alarms
                ]
            )
            if variant.auto_rollback
            else None
        ),
    )
