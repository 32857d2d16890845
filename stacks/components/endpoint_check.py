"""Holds the registration back until the endpoints are what the deploy asked for, and finds out for
it what they were built from."""

from collections.abc import Mapping
from typing import Protocol

from aws_cdk import CustomResource, Duration, Stack
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.components.artifacts import ServedModel, ServingImage
from stacks.components.grants import grant, grant_seeing
from stacks.components.python_function import PythonFunction


class Endpoint(Protocol):
    @property
    def config(self) -> sagemaker.CfnEndpointConfig: ...

    @property
    def endpoint(self) -> sagemaker.CfnEndpoint: ...


class EndpointCheck(Construct):
    """`endpoints` by name. `built` is that of the registration, as JSON that is known in the deploy
    alone. Without a `manifest`, which says what a compile came to, its quality is null.

    The deploy fails here where SageMaker has rolled an endpoint back by itself, which
    CloudFormation takes for a success. `resource` has succeeded once all is there.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        endpoints: Mapping[str, Endpoint],
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
            no_dead_letters="CloudFormation calls it, and gives up with the deploy that asked.",
        )
        bucket, key = served.storage.bucket, served.storage.encryption_key
        objects = [image.record, *([manifest] if manifest else [])]
        role = check.role
        for name in endpoints:
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
                "Endpoints": [
                    {"Name": name, "Config": endpoint.config.attr_endpoint_config_name}
                    for name, endpoint in endpoints.items()
                ],
                "Bucket": bucket.bucket_name,
                "ImageRecord": image.record,
                **({"Manifest": manifest} if manifest else {}),
            },
        )
        resource.node.add_dependency(
            *(endpoint.endpoint for endpoint in endpoints.values()), check.role
        )
        self.resource = resource
        self.built = resource.get_att_string("Built")
