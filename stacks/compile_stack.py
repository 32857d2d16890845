"""A compiled variant's part of a deploy: the compile, and beside it the image that serves its
output."""

from aws_cdk import CfnOutput, Environment, Stack
from constructs import Construct

from stacks.artifacts_stack import ArtifactsStack
from stacks.components.image_build import ImageBuild
from stacks.components.network import Network
from stacks.components.neuron_compile import NeuronCompile
from stacks.settings import Settings
from stacks.settings.compile import CompiledSettings
from stacks.storage_stack import StorageStack


class CompileStack(Stack):
    """Exposes `served`, the compiled model, and `image`; both are there once the stack is.

    Neither's end is waited for by the other: the compile runs in AWS's container, with our code
    beside it, so the image is built meanwhile.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        variant: CompiledSettings,
        storage: StorageStack,
        artifacts: ArtifactsStack,
        network: Network | None = None,
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        # The weights have to be there.
        self.add_stack_dependency(artifacts)
        # First, as it is short: in an account that may have one build, the other waits for it.
        self.image = ImageBuild(
            self,
            "Image",
            settings=settings,
            variant=variant,
            repository=storage.repositories[variant.kind],
            storage=storage.kept,
        ).image
        self.served = NeuronCompile(
            self,
            "Neuron",
            settings=settings,
            variant=variant,
            weights=artifacts.weights[variant.model],
            storage=storage.kept,
            network=network,
        ).served
        CfnOutput(self, "CompiledPrefix", value=self.served.prefix)
