"""A set of containers that serve one endpoint configuration: one per production variant.

Blue/green needs two of them at once: the new one starts beside the old and takes over when healthy.
An InitialInstanceCount above one is recorded and one container serves it.
"""

from __future__ import annotations

import random
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cloud.bridge import LogStream, enter_account
from local_cloud.endpoint_process import Container, ContainerFailed
from local_cloud.image_store import ImageStore
from local_cloud.model_images import plan_container, sagemaker_role
from local_cloud.settings import CloudSettings

DEFAULT_STARTUP_TIMEOUT_S = 600


@dataclass
class Variant:
    """`config` names the endpoint configuration it is of."""

    config: str
    name: str
    weight: float
    instances: int
    settings: Mapping[str, Any]
    """The production variant as the endpoint configuration has it."""
    container: Container
    folder: Path


class Fleet:
    """The running variants of one endpoint configuration."""

    def __init__(self, config: Mapping[str, Any], variants: Sequence[Variant]) -> None:
        self.config = config
        self.variants = list(variants)

    def pick(self, name: str | None) -> Variant | None:
        """The variant called `name`, or one drawn by weight; None where there is no such one."""
        if name is not None:
            return next((variant for variant in self.variants if variant.name == name), None)
        weights = [variant.weight for variant in self.variants]
        if not any(weights):
            return self.variants[0]
        return random.choices(self.variants, weights)[0]

    def stop(self) -> None:
        """End every container and remove its files."""
        for variant in self.variants:
            variant.container.stop()
            shutil.rmtree(variant.folder, ignore_errors=True)


class FleetStarter:
    """Starts fleets; a stop from another thread reaches a start that is under way."""

    def __init__(self, settings: CloudSettings, store: ImageStore) -> None:
        self._settings, self._store = settings, store

    def start(
        self,
        endpoint: str,
        config: Mapping[str, Any],
        models: Mapping[str, Mapping[str, Any]],
        fleet: Fleet,
    ) -> None:
        """Fill `fleet` with healthy variants. ContainerFailed; what was started is then stopped.

        `models` are CreateModel requests by name.
        """
        enter_account(self._settings)
        try:
            for variant in config["ProductionVariants"]:
                self._start_variant(endpoint, variant, models[variant["ModelName"]], fleet)
        except BaseException:
            fleet.stop()
            raise

    def _start_variant(
        self, endpoint: str, variant: Mapping[str, Any], model: Mapping[str, Any], fleet: Fleet
    ) -> None:
        number = uuid.uuid4().hex[:8]
        folder = self._settings.endpoints / endpoint / number
        folder.mkdir(parents=True)
        container_definition = model.get("PrimaryContainer") or model["Containers"][0]
        role = sagemaker_role(self._settings, model["ExecutionRoleArn"], "SageMaker")
        timeout_s = float(
            variant.get("ContainerStartupHealthCheckTimeoutInSeconds", DEFAULT_STARTUP_TIMEOUT_S)
        )
        plan = plan_container(
            self._settings, self._store, container_definition, role, folder, timeout_s
        )
        log = LogStream(
            self._settings,
            f"/aws/sagemaker/Endpoints/{endpoint}",
            f"{variant['VariantName']}/i-{number}",
            role,
        )
        container = Container(self._settings, plan, log)
        # Listed before it starts: a delete that comes meanwhile has to find it.
        fleet.variants.append(
            Variant(
                config=fleet.config["EndpointConfigName"],
                name=variant["VariantName"],
                weight=float(variant.get("InitialVariantWeight", 1.0)),
                instances=int(variant.get("InitialInstanceCount", 1)),
                settings=variant,
                container=container,
                folder=folder,
            )
        )
        try:
            container.start()
        except ContainerFailed as error:
            raise ContainerFailed(
                f"The primary container for production variant {variant['VariantName']} did not "
                "pass the ping health check. Please check CloudWatch logs for this endpoint. "
                f"[Here AWS ends. The local cloud adds: {error}]"
            ) from error
