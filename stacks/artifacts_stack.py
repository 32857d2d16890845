"""The weights, imported into the model bucket. A failed import is repeated by the next deploy."""

from aws_cdk import CfnOutput, Environment, Stack
from constructs import Construct

from stacks.components.sagemaker_endpoint import ServedModel
from stacks.components.weights import Weights
from stacks.settings import Settings
from stacks.storage_stack import StorageStack


class ArtifactsStack(Stack):
    """Exposes `weights`, which are there once the stack is."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, storage: StorageStack
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        self._storage = storage
        self.weights = Weights(
            self,
            "Weights",
            settings=settings,
            bucket=storage.bucket,
            encryption_key=storage.encryption_key,
            log_group=storage.build_log,
        )
        CfnOutput(self, "WeightsPrefix", value=self.weights.prefix)

    def served_weights(self) -> ServedModel:
        """The imported weights as an endpoint serves them."""
        return ServedModel(
            bucket=self._storage.bucket,
            prefix=self.weights.prefix,
            artifact_key=self.weights.key,
            revision=self.weights.revision,
            encryption_key=self._storage.encryption_key,
        )
