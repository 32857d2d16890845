"""The weights, imported into the model bucket. A failed import is repeated by the next deploy."""

from aws_cdk import CfnOutput, Environment, Stack
from constructs import Construct

from stacks.components.weights import Weights
from stacks.settings import Settings
from stacks.storage_stack import StorageStack


class ArtifactsStack(Stack):
    """Exposes `weights` by model: those of all variants on offer, there once the stack is."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, storage: StorageStack
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        self.weights = {}
        for name in dict.fromkeys(variant.model for variant in settings.variants):
            title = "".join(part.capitalize() for part in name.split("-"))
            imported = Weights(
                self,
                f"Weights{title}",
                name=name,
                model=settings.models[name],
                builds=settings.builds,
                storage=storage.kept,
            )
            self.weights[name] = imported.served
            CfnOutput(self, f"WeightsPrefix{title}", value=imported.served.prefix)
