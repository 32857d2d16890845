"""Endpoint variants as Application Auto Scaling scales them."""

from __future__ import annotations

from collections.abc import Callable

from local_cloud.sagemaker.control import SageMakerControl


class VariantCapacities:
    def __init__(self, control: SageMakerControl) -> None:
        self._control = control

    def capacity(self, endpoint: str, variant: str) -> int | None:
        """How many instances are wanted; None where there is no such variant in service."""
        for one in self._control.endpoints.serving():
            if one.name == endpoint and one.fleet and one.fleet.production_variant == variant:
                return one.fleet.desired
        return None

    def set_capacity(self, endpoint: str, variant: str, capacity: int) -> Callable[[], str]:
        """Begin; what is given waits for the end and says why it came to nothing, or "".
        BadRequest."""
        change = {"VariantName": variant, "DesiredInstanceCount": capacity}
        self._control.call(
            "UpdateEndpointWeightsAndCapacities",
            {"EndpointName": endpoint, "DesiredWeightsAndCapacities": [change]},
        )
        scaled = self._control.endpoints.endpoint(endpoint)

        def finish() -> str:
            scaled.done.wait()
            return scaled.failure

        return finish
