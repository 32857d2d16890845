"""How many instances an endpoint has: by its load, by the clock, and none while nothing waits.

The role that CloudFormation works under makes and removes the scalable target, before the endpoint
goes; the role that scales is Application Auto Scaling's own (service-linked), for which no template
has to care.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.components.sagemaker_model import PRODUCTION_VARIANT
from stacks.settings.scaling import AsyncSettings, ScalingSettings, Scheduled

CONCURRENCY = "SageMakerVariantConcurrentRequestsPerModelHighResolution"


@dataclass(frozen=True)
class _Instances:
    """The scalable target of an endpoint, and policies for it, in `scope`."""

    scope: Construct
    endpoint: sagemaker.CfnEndpoint

    @property
    def named(self) -> dict[str, Any]:
        name = self.endpoint.attr_endpoint_name
        return {
            "service_namespace": "sagemaker",
            "scalable_dimension": "sagemaker:variant:DesiredInstanceCount",
            "resource_id": f"endpoint/{name}/variant/{PRODUCTION_VARIANT}",
        }

    def range(
        self, least: int, most: int, schedule: Sequence[Scheduled] = ()
    ) -> scaling.CfnScalableTarget:
        # Not CDK's own construct, which makes a role that Application Auto Scaling doesn't use.
        return scaling.CfnScalableTarget(
            self.scope,
            "Instances",
            **self.named,
            min_capacity=least,
            max_capacity=most,
            scheduled_actions=[_action(*each) for each in enumerate(schedule, 1)] or None,
        )

    def track(
        self,
        target: scaling.CfnScalableTarget,
        configuration: scaling.CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty,
    ) -> None:
        policy = scaling.CfnScalingPolicy(
            self.scope,
            "Tracking",
            **self.named,
            policy_name="track",
            policy_type="TargetTrackingScaling",
            target_tracking_scaling_policy_configuration=configuration,
        )
        policy.node.add_dependency(target)

    def step(
        self,
        target: scaling.CfnScalableTarget,
        configuration: scaling.CfnScalingPolicy.StepScalingPolicyConfigurationProperty,
    ) -> scaling.CfnScalingPolicy:
        policy = scaling.CfnScalingPolicy(
            self.scope,
            "Waking",
            **self.named,
            policy_name="wake",
            policy_type="StepScaling",
            step_scaling_policy_configuration=configuration,
        )
        policy.node.add_dependency(target)
        return policy


def scale_by_load(
    scope: Construct, endpoint: sagemaker.CfnEndpoint, settings: ScalingSettings
) -> None:
    """Of a real-time endpoint."""
    instances = _Instances(scope, endpoint)
    target = instances.range(settings.min_instances, settings.max_instances, settings.schedule)
    # A schedule may leave room where the settings themselves leave none.
    if settings.by_load or any(each.max > each.min for each in settings.schedule):
        instances.track(
            target,
            scaling.CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty(
                target_value=settings.target_concurrency,
                scale_in_cooldown=settings.scale_in_s,
                scale_out_cooldown=settings.scale_out_s,
                predefined_metric_specification=(
                    scaling.CfnScalingPolicy.PredefinedMetricSpecificationProperty(
                        predefined_metric_type=CONCURRENCY
                    )
                ),
            ),
        )


def scale_to_zero(
    scope: Construct, endpoint: sagemaker.CfnEndpoint, settings: AsyncSettings, scale_out_s: int
) -> None:
    """Of an asynchronous endpoint. By what waits for an instance alone it would come back from zero
    only once more waits than the target: that anything does is told by a metric of its own, and
    answered by one step (developer guide, async-inference-autoscale). Both metrics carry the
    endpoint's name alone (same guide, async-inference-monitor)."""
    instances = _Instances(scope, endpoint)
    target = instances.range(0, settings.max_instances)
    name = endpoint.attr_endpoint_name
    dimension = scaling.CfnScalingPolicy.MetricDimensionProperty(name="EndpointName", value=name)
    instances.track(
        target,
        scaling.CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty(
            target_value=settings.backlog_per_instance,
            scale_in_cooldown=settings.scale_in_s,
            scale_out_cooldown=scale_out_s,
            customized_metric_specification=(
                scaling.CfnScalingPolicy.CustomizedMetricSpecificationProperty(
                    namespace="AWS/SageMaker",
                    metric_name="ApproximateBacklogSizePerInstance",
                    dimensions=[dimension],
                    statistic="Average",
                )
            ),
        ),
    )
    waking = instances.step(
        target,
        scaling.CfnScalingPolicy.StepScalingPolicyConfigurationProperty(
            adjustment_type="ChangeInCapacity",
            # The alarm goes on until the first instance answers: within this time it adds none.
            cooldown=scale_out_s,
            metric_aggregation_type="Average",
            step_adjustments=[
                scaling.CfnScalingPolicy.StepAdjustmentProperty(
                    # Counted from the alarm's threshold.
                    metric_interval_lower_bound=0,
                    scaling_adjustment=1,
                )
            ],
        ),
    )
    cloudwatch.CfnAlarm(
        scope,
        "Waiting",
        alarm_description=f"{endpoint.endpoint_name}: requests wait and no instance is there",
        namespace="AWS/SageMaker",
        metric_name="HasBacklogWithoutCapacity",
        dimensions=[cloudwatch.CfnAlarm.DimensionProperty(name="EndpointName", value=name)],
        statistic="Average",
        period=60,
        evaluation_periods=2,
        datapoints_to_alarm=2,
        threshold=1,
        comparison_operator="GreaterThanOrEqualToThreshold",
        treat_missing_data="notBreaching",
        alarm_actions=[waking.ref],
    )


def _action(number: int, scheduled: Scheduled) -> scaling.CfnScalableTarget.ScheduledActionProperty:
    return scaling.CfnScalableTarget.ScheduledActionProperty(
        scheduled_action_name=f"schedule-{number}",
        schedule=f"cron({scheduled.cron})",
        timezone=scheduled.timezone,
        scalable_target_action=scaling.CfnScalableTarget.ScalableTargetActionProperty(
            min_capacity=scheduled.min, max_capacity=scheduled.max
        ),
    )
