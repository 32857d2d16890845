"""One variant: its endpoint, and its registration with the front door."""

from aws_cdk import CfnOutput, Environment, Stack
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from stacks.api_stack import ApiStack
from stacks.artifacts_stack import ArtifactsStack
from stacks.compile_stack import CompileStack
from stacks.components.endpoint_check import EndpointCheck
from stacks.components.image_build import ImageBuild
from stacks.components.sagemaker_endpoint import SageMakerEndpoint
from stacks.serving_environment import registration, serving_environment
from stacks.settings import Settings, VariantSettings
from stacks.storage_stack import StorageStack


class EndpointStack(Stack):
    """Deploying it brings the API and what the endpoint serves along.

    With `compiled` it serves that stack's model with that stack's image; else the imported weights,
    with an image it builds itself.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        variant: VariantSettings,
        storage: StorageStack,
        artifacts: ArtifactsStack,
        api: ApiStack,
        compiled: CompileStack | None = None,
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        # The stack order is what makes the weights, and the API's address, be there first.
        self.add_stack_dependency(artifacts)
        self.add_stack_dependency(api)
        if compiled:
            self.add_stack_dependency(compiled)
            served, image = compiled.served, compiled.image
            built = None
        else:
            served = artifacts.weights[variant.model]
            built = ImageBuild(
                self,
                "Image",
                settings=settings,
                variant=variant,
                repository=storage.repositories[variant.kind],
                storage=storage.kept,
            )
            image = built.image
        endpoint = SageMakerEndpoint(
            self,
            "Serving",
            variant=variant,
            served=served,
            image=image,
            environment=serving_environment(variant, served.artifact_key),
        )
        if built:
            endpoint.model.node.add_dependency(built.ready)
        check = EndpointCheck(
            self,
            "Check",
            endpoint=endpoint,
            served=served,
            image=image,
            manifest=served.manifest if compiled else None,
            log_days=settings.api.log_days,
        )
        ssm.CfnParameter(
            self,
            "Registration",
            name=f"{settings.names.registrations}/{variant.name}",
            type="String",
            value=registration(settings, variant, served, check.built),
            description=f"What the front door knows of {variant.endpoint_name}",
        )
        CfnOutput(self, "EndpointName", value=endpoint.endpoint.attr_endpoint_name)
        CfnOutput(self, "ArtifactKey", value=served.artifact_key)
        CfnOutput(self, "ImageUri", value=image.uri)
        CfnOutput(self, "ApiUrl", value=api.url)
