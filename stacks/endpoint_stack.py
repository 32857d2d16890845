"""One variant: its endpoints, and what it says of itself to the front door and to the batches."""

from aws_cdk import CfnOutput, Environment, Stack
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from sd_contract.registration import ASYNC, REAL_TIME
from stacks.api_stack import ApiStack
from stacks.artifacts_stack import ArtifactsStack
from stacks.batch_stack import BatchStack
from stacks.compile_stack import CompileStack
from stacks.components.artifacts import ServedModel, ServingImage
from stacks.components.async_endpoint import AsyncEndpoint
from stacks.components.endpoint_alarms import AsyncEndpointAlarms, EndpointAlarms
from stacks.components.endpoint_check import Endpoint, EndpointCheck
from stacks.components.idle_guard import IdleGuard
from stacks.components.image_build import ImageBuild
from stacks.components.network import Network
from stacks.components.sagemaker_endpoint import SageMakerEndpoint
from stacks.components.sagemaker_model import SageMakerModel
from stacks.running_costs import running_costs
from stacks.serving_environment import fleet, registration, serving_environment
from stacks.settings import Settings, VariantSettings
from stacks.storage_stack import StorageStack


class EndpointStack(Stack):
    """Deploying it brings the API, the batches and what the variant serves along.

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
        batch: BatchStack | None,
        compiled: CompileStack | None = None,
        network: Network | None = None,
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        # The stack order is what makes the weights, and the API's address, be there first.
        self.add_stack_dependency(artifacts)
        self.add_stack_dependency(api)
        if batch:
            self.add_stack_dependency(batch)
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
        endpoints = self._endpoints(variant, served, image, batch, built, network)
        check = EndpointCheck(
            self,
            "Check",
            endpoints=endpoints,
            served=served,
            image=image,
            manifest=served.manifest if compiled else None,
            log_days=settings.api.log_days,
        )
        if endpoint := endpoints.get(variant.endpoint_name):
            EndpointAlarms(
                self,
                "Alarms",
                variant=variant,
                endpoint=endpoint.endpoint,
                slow_factor=settings.alarms.slow_factor,
            )
        if variant.async_endpoint_name in endpoints:
            AsyncEndpointAlarms(self, "AsyncAlarms", variant=variant)
        if built:
            # Without an endpoint nothing else has waited for it.
            check.resource.node.add_dependency(built.ready)
        real_time = endpoints.get(variant.endpoint_name)
        registered = ssm.CfnParameter(
            self,
            "Registration",
            name=f"{settings.names.registrations}/{variant.name}",
            type="String",
            value=registration(
                settings,
                variant,
                served,
                check.built,
                real_time.config.attr_endpoint_config_name if real_time else None,
            ),
            description=f"What the front door knows of {variant.endpoint_name}",
        )
        if batch:
            parameter = ssm.CfnParameter(
                self,
                "Fleet",
                name=f"{settings.names.fleets}/{variant.name}",
                type="String",
                value=fleet(settings, variant, served, image, batch.bulk_role.role_arn, network),
                description=f"What batches need of {variant.name}",
            )
            parameter.node.add_dependency(check.resource)
        for name, endpoint in endpoints.items():
            output = "EndpointName" if name == variant.endpoint_name else "AsyncEndpointName"
            CfnOutput(self, output, value=endpoint.endpoint.attr_endpoint_name)
        if real_time and variant.guarded:
            IdleGuard(
                self,
                "IdleGuard",
                settings=settings,
                variant=variant,
                endpoint=real_time.endpoint,
                config=real_time.config,
                registration=registered,
            )
        if endpoints:
            per_hour, per_month = running_costs(settings, variant)
            CfnOutput(self, "CostPerHour", value=per_hour)
            CfnOutput(self, "CostPerMonth", value=per_month)
        CfnOutput(self, "ArtifactKey", value=served.artifact_key)
        CfnOutput(self, "ImageUri", value=image.uri)
        CfnOutput(self, "ApiUrl", value=api.url)

    def _endpoints(
        self,
        variant: VariantSettings,
        served: ServedModel,
        image: ServingImage,
        batch: BatchStack | None,
        built: ImageBuild | None,
        network: Network | None,
    ) -> dict[str, Endpoint]:
        """By name."""
        if not {REAL_TIME, ASYNC} & {*variant.serve}:
            return {}
        serving = SageMakerModel(
            self,
            "Serving",
            variant=variant,
            served=served,
            image=image,
            environment=serving_environment(variant, served.artifact_key),
            exchange=batch.exchange if batch else None,
            network=network,
        )
        if built:
            serving.model.node.add_dependency(built.ready)
        found: dict[str, Endpoint] = {}
        if REAL_TIME in variant.serve:
            # An id that leaves no trace: these resources had theirs before the model stood apart.
            found[variant.endpoint_name] = SageMakerEndpoint(
                serving, "Default", variant=variant, serving=serving
            )
        if batch and ASYNC in variant.serve:
            found[variant.async_endpoint_name] = AsyncEndpoint(
                self, "Async", variant=variant, serving=serving, exchange=batch.exchange
            )
        return found
