"""A text's vector, from an endpoint with the right text encoder."""

from dataclasses import dataclass

from front_door import endpoint
from front_door.endpoint import SageMakerRuntime
from front_door.errors import (
    EndpointNotFound,
    EndpointStopped,
    EndpointThrottled,
    EndpointUnavailable,
    FrontDoorError,
    ModelNotFound,
)
from front_door.variants import VariantRegistry
from sd_contract.embeddings import floats
from sd_contract.fields import Problem
from sd_contract.gallery import index_name
from sd_contract.registration import REAL_TIME, Registration


@dataclass(frozen=True)
class Texts:
    registry: VariantRegistry
    runtime: SageMakerRuntime

    def vector(self, text: str, index: str, first: str, request_id: str) -> list[float]:
        """By any variant whose vectors that index has: `first`, or where its endpoint is stopped,
        throttled or away, another. Raises FrontDoorError."""
        registered, _ = self.registry.listing()
        served = [
            entry.variant
            for entry in registered
            if REAL_TIME in entry.variant.serve and index_of(entry.variant) == index
        ]
        failed: FrontDoorError = ModelNotFound(
            Problem(
                "model",
                f"model: none is deployed whose real-time endpoint encodes texts as {first!r} does",
                "model_not_found",
            )
        )
        for variant in sorted(served, key=lambda each: each.name != first):
            try:
                answer = endpoint.embed(self.runtime, variant, [text], request_id)
            except (EndpointUnavailable, EndpointThrottled) as error:
                failed = _told(error, variant)
            else:
                return floats(answer.vectors[0])
        raise failed


def index_of(variant: Registration) -> str:
    return index_name(variant.model_id, variant.revision)


def _told(error: FrontDoorError, variant: Registration) -> FrontDoorError:
    if isinstance(error, EndpointNotFound) and variant.stopped:
        return EndpointStopped(str(error), variant.stopped.start)
    return error
