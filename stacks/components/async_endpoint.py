"""An asynchronous SageMaker endpoint, without an instance while nothing waits for it."""

from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.components.artifacts import BatchExchange
from stacks.components.endpoint_scaling import scale_to_zero
from stacks.components.sagemaker_model import SageMakerModel
from stacks.settings import VariantSettings


class AsyncEndpoint(Construct):
    """`endpoint` has a fixed name, its configuration none. It takes asynchronous requests alone,
    from and to `exchange`.

    It begins with one instance: a deploy fails with a container that doesn't start.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        variant: VariantSettings,
        serving: SageMakerModel,
        exchange: BatchExchange,
    ) -> None:
        super().__init__(scope, id)
        to = exchange.bucket.s3_url_for_object(exchange.outputs)
        self.config = sagemaker.CfnEndpointConfig(
            self,
            "Config",
            production_variants=serving.served_by(1),
            async_inference_config=sagemaker.CfnEndpointConfig.AsyncInferenceConfigProperty(
                client_config=sagemaker.CfnEndpointConfig.AsyncInferenceClientConfigProperty(
                    # What waits stays where it counts as waiting, and where it can be taken back.
                    max_concurrent_invocations_per_instance=variant.at_once
                ),
                output_config=sagemaker.CfnEndpointConfig.AsyncInferenceOutputConfigProperty(
                    s3_output_path=to,
                    s3_failure_path=to,
                    notification_config=(
                        sagemaker.CfnEndpointConfig.AsyncInferenceNotificationConfigProperty(
                            success_topic=exchange.success.topic_arn,
                            error_topic=exchange.error.topic_arn,
                        )
                    ),
                ),
            ),
        )
        self.endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=variant.async_endpoint_name,
            endpoint_config_name=self.config.attr_endpoint_config_name,
        )
        scale_to_zero(self, self.endpoint, variant.async_, variant.scaling.scale_out_s)
