"""A real-time SageMaker endpoint serving an uncompressed S3 prefix with one of our images."""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.components.grants import (
    REGISTRY_LOGIN,
    Unscoped,
    grant_listing,
    grant_log_streams,
    grant_objects,
    grant_unscoped,
)
from stacks.components.service_role import ServiceRole
from stacks.settings import VariantSettings

# The one production variant; metrics carry it as VariantName.
PRODUCTION_VARIANT = "main"


@dataclass(frozen=True)
class ServedModel:
    """What an endpoint serves: `prefix` of the bucket ends in "/"; `artifact_key` is what its
    manifest says; `revision` the model's commit or content."""

    bucket: s3.Bucket
    prefix: str
    artifact_key: str
    revision: str
    encryption_key: kms.IKey


@dataclass(frozen=True)
class ServingImage:
    repository: ecr.IRepository
    uri: str


class SageMakerEndpoint(Construct):
    """`endpoint` has a fixed name, the model and its configuration have none: they can't be changed
    in place, so every change makes new ones and the endpoint moves over.

    Depend `model` on what has to be there before: a container that starts without its files fails.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        variant: VariantSettings,
        served: ServedModel,
        image: ServingImage,
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(scope, id)
        self.role = self._role(variant, served, image)
        self.model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=self.role.role_arn,
            enable_network_isolation=True,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=image.uri,
                environment=dict(environment),
                model_data_source=sagemaker.CfnModel.ModelDataSourceProperty(
                    s3_data_source=sagemaker.CfnModel.S3DataSourceProperty(
                        s3_uri=served.bucket.s3_url_for_object(served.prefix),
                        s3_data_type="S3Prefix",
                        compression_type="None",
                    )
                ),
            ),
        )
        # SageMaker tries the role's permissions when the model is made.
        self.model.node.add_dependency(self.role)
        self.config = sagemaker.CfnEndpointConfig(
            self,
            "Config",
            production_variants=[
                sagemaker.CfnEndpointConfig.ProductionVariantProperty(
                    variant_name=PRODUCTION_VARIANT,
                    model_name=self.model.attr_model_name,
                    instance_type=variant.instance_type,
                    initial_instance_count=variant.instance_count,
                    initial_variant_weight=1,
                    inference_ami_version=variant.ami,
                    container_startup_health_check_timeout_in_seconds=variant.startup_timeout_s,
                    model_data_download_timeout_in_seconds=variant.download_timeout_s,
                    routing_config=sagemaker.CfnEndpointConfig.RoutingConfigProperty(
                        routing_strategy=variant.routing
                    ),
                )
            ],
        )
        failing = self._failing(variant)
        self.endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=variant.endpoint_name,
            endpoint_config_name=self.config.attr_endpoint_config_name,
            deployment_config=sagemaker.CfnEndpoint.DeploymentConfigProperty(
                blue_green_update_policy=sagemaker.CfnEndpoint.BlueGreenUpdatePolicyProperty(
                    traffic_routing_configuration=(
                        sagemaker.CfnEndpoint.TrafficRoutingConfigProperty(
                            # SageMaker's API wants the interval even where there is one step.
                            type="ALL_AT_ONCE",
                            wait_interval_in_seconds=0,
                        )
                    ),
                    # The old fleet stays this long for a rollback to go back to at once.
                    termination_wait_in_seconds=120,
                ),
                auto_rollback_configuration=sagemaker.CfnEndpoint.AutoRollbackConfigProperty(
                    alarms=[sagemaker.CfnEndpoint.AlarmProperty(alarm_name=failing.ref)]
                ),
            ),
        )

    def _role(self, variant: VariantSettings, served: ServedModel, image: ServingImage) -> iam.Role:
        role = ServiceRole(self, "Role", service="sagemaker.amazonaws.com")
        grant_objects(
            role,
            served.bucket,
            served.prefix,
            ["s3:GetObject"],
            why="the files of one artifact, below its content key",
        )
        grant_listing(role, served.bucket, served.prefix)
        role.add_to_policy(
            iam.PolicyStatement(actions=["kms:Decrypt"], resources=[served.encryption_key.key_arn])
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=[
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:GetDownloadUrlForLayer",
                    "ecr:BatchGetImage",
                ],
                resources=[image.repository.repository_arn],
            )
        )
        grant_log_streams(
            role,
            f"/aws/sagemaker/Endpoints/{variant.endpoint_name}",
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            why="SageMaker makes the group, and in it a stream for each instance, as they come",
        )
        grant_unscoped(
            role,
            REGISTRY_LOGIN,
            Unscoped(
                "cloudwatch:PutMetricData",
                "metrics have no ARN; the namespace is as fine as it gets",
                {
                    "StringEquals": {
                        "cloudwatch:namespace": ["/aws/sagemaker/Endpoints", "AWS/SageMaker"]
                    }
                },
            ),
        )
        return role

    def _failing(self, variant: VariantSettings) -> cloudwatch.CfnAlarm:
        """Requests that fail in the container: while an update runs, it sends the endpoint back."""
        return cloudwatch.CfnAlarm(
            self,
            "Failing",
            alarm_description=f"{variant.endpoint_name}: requests fail in the container",
            namespace="AWS/SageMaker",
            metric_name="Invocation5XXErrors",
            dimensions=[
                cloudwatch.CfnAlarm.DimensionProperty(
                    name="EndpointName", value=variant.endpoint_name
                ),
                cloudwatch.CfnAlarm.DimensionProperty(name="VariantName", value=PRODUCTION_VARIANT),
            ],
            statistic="Sum",
            period=60,
            evaluation_periods=2,
            threshold=3,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="notBreaching",
        )
