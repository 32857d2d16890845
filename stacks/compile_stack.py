"""Inferentia2's part of a deploy: the compile, and beside it the image that serves its output."""

from aws_cdk import CfnOutput, Environment, Stack
from constructs import Construct

from stacks.artifacts_stack import ArtifactsStack
from stacks.components.image_build import ImageBuild
from stacks.components.neuron_compile import NeuronCompile
from stacks.components.sagemaker_endpoint import ServedModel
from stacks.settings import Settings
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
        storage: StorageStack,
        artifacts: ArtifactsStack,
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        # The weights have to be there.
        self.add_stack_dependency(artifacts)
        # First, as it is short: in an account that may have one build, the other waits for it.
        image = ImageBuild(
            self,
            "Image",
            settings=settings,
            variant=settings.inf2,
            repository=storage.repositories["inf2"],
            bucket=storage.bucket,
            encryption_key=storage.encryption_key,
            log_group=storage.build_log,
        )
        compiled = NeuronCompile(
            self,
            "Neuron",
            settings=settings,
            weights=artifacts.weights,
            bucket=storage.bucket,
            encryption_key=storage.encryption_key,
            log_group=storage.build_log,
        )
        self.image = image.image
        self.served = ServedModel(
            bucket=storage.bucket,
            prefix=compiled.prefix,
            artifact_key=compiled.key,
            revision=artifacts.weights.revision,
            encryption_key=storage.encryption_key,
        )
        CfnOutput(self, "CompiledPrefix", value=compiled.prefix)
