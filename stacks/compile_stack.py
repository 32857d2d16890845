"""Inferentia2's part of a deploy: the compile, and beside it the image that serves its output."""

from aws_cdk import CfnOutput, Environment, Stack
from constructs import Construct

from stacks.artifacts_stack import ArtifactsStack
from stacks.components.image_build import ImageBuild
from stacks.components.neuron_compile import NeuronCompile
from stacks.components.sagemaker_endpoint import ServedModel
from stacks.settings import Settings


class CompileStack(Stack):
    """Exposes `served`, the compiled model, and `image`; both are there once the stack is.

    Neither waits for the other: the compile runs in AWS's container, with our code beside it, so
    the image is built meanwhile.
    """

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, artifacts: ArtifactsStack
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        # The weights have to be there.
        self.add_stack_dependency(artifacts)
        compiled = NeuronCompile(
            self,
            "Neuron",
            settings=settings,
            weights=artifacts.weights,
            bucket=artifacts.bucket,
            encryption_key=artifacts.encryption_key,
        )
        image = ImageBuild(
            self,
            "Image",
            settings=settings,
            variant=settings.inf2,
            repository=artifacts.repositories["inf2"],
            encryption_key=artifacts.encryption_key,
        )
        self.image = image.image
        self.served = ServedModel(
            bucket=artifacts.bucket,
            prefix=compiled.prefix,
            artifact_key=compiled.key,
            revision=artifacts.weights.revision,
            encryption_key=artifacts.encryption_key,
        )
        CfnOutput(self, "CompiledPrefix", value=compiled.prefix)
