"""Holds the registration back until the endpoint is what the deploy asked for, and finds out for it
what the endpoint was built from."""

from aws_cdk import CustomResource, Duration, Stack
from constructs import Construct

from stacks.components.artifacts import ServedModel, ServingImage
from stacks.components.grants import grant, grant_seeing
from stacks.components.python_function import PythonFunction
from stacks.components.sagemaker_endpoint import SageMakerEndpoint


class EndpointCheck(Construct):
    """`built` is that of the registration, as JSON that is known in the deploy alone. Without a
    `manifest`, which says what a compile came to, its quality is null.

    The deploy fails here where SageMaker has rolled the endpoint back by itself, which
    CloudFormation takes for a success.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        endpoint: SageMakerEndpoint,
        served: ServedModel,
        image: ServingImage,
        manifest: str | None,
        log_days: int,
    ) -> None:
        super().__init__(scope, id)
        check = PythonFunction(
            self,
            "Check",
            package="endpoint_check",
            uses=["cfn_requests", "sd_contract"],
            timeout=Duration.minutes(3),
            memory_mb=256,
            log_days=log_days,
        )
        name = endpoint.endpoint.endpoint_name
        bucket, key = served.storage.bucket, served.storage.encryption_key
        objects = [image.record, *([manifest] if manifest else [])]
        role = check.role
        arn = Stack.of(self).format_arn(
            service="sagemaker", resource="endpoint", resource_name=name
        )
        grant(role, ["sagemaker:DescribeEndpoint"], arn)
        grant(role, ["s3:GetObject"], *(bucket.arn_for_objects(each) for each in objects))
        grant_seeing(role, bucket, objects)
        grant(role, ["kms:Decrypt"], key.key_arn)
        resource = CustomResource(
            self,
            "Resource",
            resource_type="Custom::EndpointCheck",
            service_token=check.function.function_arn,
            service_timeout=Duration.minutes(5),
            properties={
                "EndpointName": name,
                "EndpointConfigName": endpoint.config.attr_endpoint_config_name,
                "Bucket": bucket.bucket_name,
                "ImageRecord": image.record,
                **({"Manifest": manifest} if manifest else {}),
            },
        )
        resource.node.add_dependency(endpoint.endpoint, check.role)
        self.built = resource.get_att_string("Built")
