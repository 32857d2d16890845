"""A real-time SageMaker endpoint."""

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.components.endpoint_scaling import scale_by_load
from stacks.components.sagemaker_model import PRODUCTION_VARIANT, SageMakerModel
from stacks.settings import VariantSettings

# When an alarm is known to be in ALARM, at the latest after the first failing request: its period
# is over, the metric has arrived (about 2 minutes for one of a minute's frequency:
# docs.datadoghq.com, cloud-metric-delay), and the alarm is evaluated, which is once a minute.
ALARM_PERIOD_S = 60
ALARM_DELAY_S = ALARM_PERIOD_S + 120 + 60
# How long an update bakes: the old fleet stays for a rollback to go back to at once. Requests that
# begin to fail within the first six minutes send it back; each minute costs one of an instance.
BAKING_S = ALARM_DELAY_S + 360


class SageMakerEndpoint(Construct):
    """`endpoint` has a fixed name, its configuration, as the model, none."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        variant: VariantSettings,
        serving: SageMakerModel,
    ) -> None:
        super().__init__(scope, id)
        self.config = sagemaker.CfnEndpointConfig(
            self,
            "Config",
            production_variants=serving.served_by(
                variant.scaling.min_instances,
                sagemaker.CfnEndpointConfig.RoutingConfigProperty(routing_strategy=variant.routing),
            ),
        )
        self._alarm("Failing", variant, 2)
        config = self.config.attr_endpoint_config_name
        new_fleet = self._alarm("NewFleetFailing", variant, 1, config)
        # Not on the role: the model waits for all of that, and the alarm for the model.
        alarm_policy = iam.Policy(
            self,
            "SeesAlarm",
            # developer guide, deployment-guardrails-configuration
            statements=[
                iam.PolicyStatement(
                    actions=["cloudwatch:DescribeAlarms"], resources=[new_fleet.attr_arn]
                )
            ],
            roles=[serving.role],
        )
        self.endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=variant.endpoint_name,
            endpoint_config_name=config,
            # Else an update would go back to the least there may be, whatever the load.
            retain_all_variant_properties=variant.scaling.on or None,
            deployment_config=sagemaker.CfnEndpoint.DeploymentConfigProperty(
                blue_green_update_policy=sagemaker.CfnEndpoint.BlueGreenUpdatePolicyProperty(
                    traffic_routing_configuration=(
                        sagemaker.CfnEndpoint.TrafficRoutingConfigProperty(
                            # SageMaker's API wants the interval even where there is one step.
                            type="ALL_AT_ONCE",
                            wait_interval_in_seconds=0,
                        )
                    ),
                    termination_wait_in_seconds=BAKING_S if variant.auto_rollback else 0,
                ),
                auto_rollback_configuration=(
                    sagemaker.CfnEndpoint.AutoRollbackConfigProperty(
                        alarms=[sagemaker.CfnEndpoint.AlarmProperty(alarm_name=new_fleet.ref)]
                    )
                    if variant.auto_rollback
                    else None
                ),
            ),
        )
        self.endpoint.node.add_dependency(alarm_policy)
        if variant.scaling.on:
            scale_by_load(self, self.endpoint, variant.scaling)

    def _alarm(
        self, id: str, variant: VariantSettings, periods: int, config: str | None = None
    ) -> cloudwatch.CfnAlarm:
        """Requests fail in the container: for people to watch and attach actions to.

        With a `config` it counts the fleet of that configuration alone, by a dimension that metrics
        have from the update on (developer guide, deployment-guardrails-configuration), and sends an
        update back: else an endpoint that fails could not take the fix, and would be sent back to
        its fault. Its name makes it another alarm with each configuration: a changed one keeps its
        state.
        """
        dimensions = {
            "EndpointName": variant.endpoint_name,
            "VariantName": PRODUCTION_VARIANT,
            **({"EndpointConfigName": config} if config else {}),
        }
        where = "the newest fleet" if config else "the container"
        return cloudwatch.CfnAlarm(
            self,
            id,
            alarm_name=f"{config}-failing" if config else None,
            alarm_description=f"{variant.endpoint_name}: requests fail in {where}",
            namespace="AWS/SageMaker",
            metric_name="Invocation5XXErrors",
            dimensions=[
                cloudwatch.CfnAlarm.DimensionProperty(name=name, value=value)
                for name, value in dimensions.items()
            ],
            statistic="Sum",
            period=ALARM_PERIOD_S,
            evaluation_periods=periods,
            threshold=3,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="notBreaching",
        )
