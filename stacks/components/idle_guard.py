"""Stops an endpoint that nobody uses, or by the clock, and starts it by the clock."""

import json

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from sd_contract.registration import start_command
from stacks.components.alarms import Trouble, alarm_of_errors
from stacks.components.grants import Unscoped, grant, grant_unscoped
from stacks.components.python_function import PythonFunction
from stacks.components.sagemaker_model import PRODUCTION_VARIANT
from stacks.settings import Settings, VariantSettings

CHECKED_EVERY = "rate(15 minutes)"
# Service Authorization Reference: neither has a resource type for it.
READ_METRICS = Unscoped("cloudwatch:GetMetricStatistics", "metrics have no ARN, and are only read")
READ_TARGETS = Unscoped(
    "application-autoscaling:DescribeScalableTargets", "it lists targets, and is only read"
)


class IdleGuard(Construct):
    """Of the real-time endpoint `endpoint`, for `variant.idle_stop_h` and the zeros of its schedule
    (`variant.guarded`)."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        variant: VariantSettings,
        endpoint: sagemaker.CfnEndpoint,
        config: sagemaker.CfnEndpointConfig,
        registration: ssm.CfnParameter,
    ) -> None:
        super().__init__(scope, id)
        names, hours, here = settings.names, variant.idle_stop_h, Stack.of(self)
        guard = PythonFunction(
            self,
            "Guard",
            package="idle_guard",
            uses=["sd_contract"],
            timeout=Duration.minutes(1),
            memory_mb=256,
            log_days=settings.api.log_days,
            no_dead_letters="It is called again within a quarter of an hour, and its errors have "
            "an alarm.",
            environment={
                "SD_EVENT_SOURCE": names.endpoint_events,
                "SD_REGISTRATION": f"{names.registrations}/{variant.name}",
                "SD_START_COMMAND": start_command(variant.name, names.prefix, settings.region),
                "SD_IDLE_H": "" if hours is None else f"{hours:g}",
                "SD_PRODUCTION_VARIANT": PRODUCTION_VARIANT,
                "SD_SCALES": str(variant.scaling.on).lower(),
            },
        )
        alarm_of_errors(
            self,
            "Failing",
            names,
            guard.function,
            Trouble(
                f"{variant.endpoint_name}: what stops and starts it fails",
                (
                    f"Read the log of the function IdleGuard of {here.stack_name}",
                    "See what the endpoint costs meanwhile: python -m operations list",
                    "Stop or start it by hand: python -m operations stop or start "
                    f"{variant.name}, and deploy again once the cause is mended",
                ),
            ),
        )
        role = guard.role
        its = here.format_arn(
            service="sagemaker", resource="endpoint", resource_name=variant.endpoint_name
        )
        parameter = here.format_arn(
            service="ssm",
            resource="parameter",
            resource_name=f"{names.registrations}/{variant.name}".lstrip("/"),
        )
        bus = here.format_arn(service="events", resource="event-bus", resource_name="default")
        changes = ["sagemaker:UpdateEndpointWeightsAndCapacities"]
        if not variant.scaling.on:
            changes = ["sagemaker:CreateEndpoint", "sagemaker:DeleteEndpoint"]
            # To make one, both are asked for.
            grant(role, ["sagemaker:CreateEndpoint"], config.ref)
        grant(role, ["sagemaker:DescribeEndpoint", *changes], its)
        grant(role, ["ssm:GetParameter", "ssm:PutParameter"], parameter)
        ours = {"StringEquals": {"events:source": names.endpoint_events}}
        grant(role, ["events:PutEvents"], bus, conditions=ours)
        grant_unscoped(role, READ_METRICS, *([READ_TARGETS] if variant.scaling.on else []))

        caller = iam.Role(
            self,
            "Clock",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": here.account}},
            ),
        )
        grant(caller, ["lambda:InvokeFunction"], guard.function.function_arn)

        def at(id: str, action: str, expression: str, timezone: str | None = None) -> None:
            asked = scheduler.CfnSchedule(
                self,
                id,
                description=f"{variant.endpoint_name}: {action}",
                schedule_expression=expression,
                schedule_expression_timezone=timezone,
                flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
                target=scheduler.CfnSchedule.TargetProperty(
                    arn=guard.function.function_arn,
                    role_arn=caller.role_arn,
                    input=json.dumps({"action": action}),
                ),
            )
            # It would call an endpoint that is still being made stopped.
            asked.node.add_dependency(registration, endpoint, caller, role)

        at("Check", "check", CHECKED_EVERY)
        if variant.scaling.stops:
            for number, each in enumerate(variant.scaling.schedule, 1):
                action = "start" if each.max else "stop"
                at(f"At{number}", action, f"cron({each.cron})", each.timezone)
