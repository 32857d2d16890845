"""What a variant's endpoints serve: an uncompressed S3 prefix, with one of our images."""

from collections.abc import Mapping

from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from sd_contract.registration import ASYNC
from stacks.components.artifacts import BatchExchange, ServedModel, ServingImage
from stacks.components.grants import (
    REGISTRY_LOGIN,
    grant,
    grant_listing,
    grant_log_streams,
    grant_objects,
    grant_pull,
    grant_unscoped,
    metrics_in,
)
from stacks.components.network import UNSCOPED, Network
from stacks.components.service_role import ServiceRole
from stacks.settings import VariantSettings

# The one production variant; metrics carry it as VariantName.
PRODUCTION_VARIANT = "main"


class SageMakerModel(Construct):
    """`role` is that of the endpoints, and `model` is one for all of them. It can't be changed in
    place, so it has no name: every change makes a new one, and the endpoints move over.

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
        exchange: BatchExchange | None,
        network: Network | None,
    ) -> None:
        super().__init__(scope, id)
        self.role = self._role(variant, served, image, network)
        if exchange and ASYNC in variant.serve:
            self._grant_exchange(exchange)
        self.model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=self.role.role_arn,
            # Isolated or not, SageMaker brings the model in through the network that is given
            # (developer guide, mkt-algo-model-internet-free).
            enable_network_isolation=True,
            vpc_config=network.of_model() if network else None,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=image.uri,
                environment=dict(environment),
                model_data_source=sagemaker.CfnModel.ModelDataSourceProperty(
                    s3_data_source=sagemaker.CfnModel.S3DataSourceProperty(
                        s3_uri=served.uri,
                        s3_data_type="S3Prefix",
                        compression_type="None",
                    )
                ),
            ),
        )
        # SageMaker tries the role's permissions when the model is made.
        self.model.node.add_dependency(self.role)
        self._variant = variant

    def served_by(
        self,
        instances: int,
        routing: sagemaker.CfnEndpointConfig.RoutingConfigProperty | None = None,
    ) -> list[sagemaker.CfnEndpointConfig.ProductionVariantProperty]:
        """An endpoint configuration's production variants, which begin with so many instances."""
        variant = self._variant
        return [
            sagemaker.CfnEndpointConfig.ProductionVariantProperty(
                variant_name=PRODUCTION_VARIANT,
                model_name=self.model.attr_model_name,
                instance_type=variant.instance_type,
                initial_instance_count=instances,
                initial_variant_weight=1,
                inference_ami_version=variant.ami,
                container_startup_health_check_timeout_in_seconds=variant.startup_timeout_s,
                model_data_download_timeout_in_seconds=variant.download_timeout_s,
                routing_config=routing,
            )
        ]

    def _role(
        self,
        variant: VariantSettings,
        served: ServedModel,
        image: ServingImage,
        network: Network | None,
    ) -> ServiceRole:
        role = ServiceRole(self, "Role", service="sagemaker.amazonaws.com")
        grant_objects(
            role,
            served.storage.bucket,
            served.prefix,
            ["s3:GetObject"],
            why="the files of one artifact, below its content key",
        )
        grant_listing(role, served.storage.bucket, served.prefix)
        grant(role, ["kms:Decrypt"], served.storage.encryption_key.key_arn)
        grant_pull(role, image.repository.repository_arn)
        for group in variant.container_logs:
            grant_log_streams(
                role,
                group,
                # Not CreateLogGroup: a group made again after a destroy would be kept for good.
                ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                why="SageMaker makes a stream for each instance, as they come",
            )
        metrics = metrics_in("/aws/sagemaker/Endpoints", "AWS/SageMaker")
        if network:
            network.grant_use(role)
        grant_unscoped(role, REGISTRY_LOGIN, metrics, *(UNSCOPED if network else ()))
        return role

    def _grant_exchange(self, exchange: BatchExchange) -> None:
        """What SageMaker does with an asynchronous request: reading it, writing its answer, telling
        of it (developer guide, async-inference-create-endpoint-prerequisites)."""
        grant_objects(
            self.role,
            exchange.bucket,
            exchange.inputs,
            ["s3:GetObject"],
            why="requests are named by batch and picture, known at run time alone",
        )
        grant_objects(
            self.role,
            exchange.bucket,
            exchange.outputs,
            ["s3:PutObject"],
            why="SageMaker names the answers",
        )
        grant(self.role, ["sns:Publish"], exchange.success.topic_arn, exchange.error.topic_arn)
