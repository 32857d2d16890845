"""What serves an endpoint configuration: one container, however many instances it asks for.

Blue/green needs two fleets at once: the new one starts beside the old and takes over when healthy.
"""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from local_cloud.ministack.telemetry import LogStream
from local_cloud.sagemaker.container import Container, ContainerFailed
from local_cloud.sagemaker.definition import plan_container
from local_cloud.sagemaker.resources import sagemaker_role
from local_cloud.settings import CloudSettings

DEFAULT_STARTUP_TIMEOUT_S = 600


class Fleet:
    """`config` and `model` are the requests that made them. A stop from another thread reaches a
    start that is under way."""

    def __init__(
        self,
        settings: CloudSettings,
        endpoint: str,
        config: Mapping[str, Any],
        model: Mapping[str, Any],
    ) -> None:
        self.config = config
        (self._production_variant,) = config["ProductionVariants"]
        self.production_variant: str = self._production_variant["VariantName"]
        self.instances = int(self._production_variant.get("InitialInstanceCount", 1))
        self._settings, self._endpoint, self._model = settings, endpoint, model
        self._number = uuid.uuid4().hex[:8]
        self._folder = settings.endpoints / endpoint / self._number
        self._container: Container | None = None
        self._stopped = False
        self._lock = threading.Lock()

    @property
    def port(self) -> int | None:
        """Where its container answers; None while that isn't healthy."""
        container = self._container
        return container.port if container and container.healthy else None

    def start(self) -> None:
        """Returns when it is healthy. ContainerFailed and BadRequest, with nothing left of it."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        role = sagemaker_role(self._settings, self._model["ExecutionRoleArn"])
        timeout_s = float(
            self._production_variant.get(
                "ContainerStartupHealthCheckTimeoutInSeconds", DEFAULT_STARTUP_TIMEOUT_S
            )
        )
        plan = plan_container(
            self._settings, self._model["PrimaryContainer"], role, self._folder, timeout_s
        )
        stream = f"{self.production_variant}/i-{self._number}"
        group = f"/aws/sagemaker/Endpoints/{self._endpoint}"
        container = Container(self._settings, plan, LogStream(self._settings, group, stream, role))
        with self._lock:
            if self._stopped:
                raise ContainerFailed("stopped before it started")
            self._container = container
        try:
            container.start()
        except ContainerFailed as error:
            raise ContainerFailed(
                f"The primary container for production variant {self.production_variant} did not "
                "pass the ping health check. Please check CloudWatch logs for this endpoint. "
                f"[Here AWS ends. The local cloud adds: {error}]"
            ) from error

    def stop(self) -> None:
        """End the container and remove its files. Safe to call twice."""
        with self._lock:
            self._stopped = True
        if self._container:
            self._container.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
