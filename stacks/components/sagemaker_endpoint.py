"""A real-time SageMaker endpoint."""

from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.components.endpoint_scaling import scale_by_load
from stacks.components.rollout import Rollout
from stacks.components.sagemaker_model import SageMakerModel
from stacks.settings import VariantSettings


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
        config = self.config.attr_endpoint_config_name
        rollout = Rollout(self, variant, config)
        # Not on the role: the model waits for all of that, and the alarms for the model.
        alarms_policy = iam.Policy(
            self,
            "SeesAlarm",
            # developer guide, deployment-guardrails-configuration
            statements=[
                iam.PolicyStatement(
                    actions=["cloudwatch:DescribeAlarms"],
                    resources=[alarm.attr_arn for alarm in rollout.alarms],
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
            deployment_config=rollout.deployment,
        )
        self.endpoint.node.add_dependency(alarms_policy)
        if variant.scaling.on:
            scale_by_load(self, self.endpoint, variant.scaling)
