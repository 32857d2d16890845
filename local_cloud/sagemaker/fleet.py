"""What serves an endpoint configuration: its instances, each a container of its own.

Blue/green needs two fleets at once: the new one starts beside the old and takes over when healthy.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from local_cloud.ministack.identity import RoleSession, enter_account
from local_cloud.ministack.networks import leads_to_s3
from local_cloud.ministack.telemetry import LogStream
from local_cloud.sagemaker.container import Container, ContainerFailed
from local_cloud.sagemaker.definition import model_uri, plan_container
from local_cloud.sagemaker.network import MODEL_UNREACHABLE
from local_cloud.sagemaker.resources import sagemaker_role
from local_cloud.settings import CloudSettings

DEFAULT_STARTUP_TIMEOUT_S = 600
# How long an instance that is taken away may finish what it has: as long as InvokeEndpoint waits.
DRAIN_S = 60.0
DRAIN_POLL_S = 0.05
CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
    "Please retry using a different ML instance type or after some time."
)


@dataclass(eq=False)
class Instance:
    """`outstanding` are the requests its container has, those queued in it included."""

    name: str
    container: Container
    outstanding: int = 0


class Fleet:
    """`config` and `model` are the requests that made them; `instances` is how many are wanted,
    where it isn't what the configuration begins with. A stop from another thread reaches a start
    that is under way."""

    def __init__(
        self,
        settings: CloudSettings,
        endpoint: str,
        config: Mapping[str, Any],
        model: Mapping[str, Any],
        instances: int | None = None,
    ) -> None:
        self.config = config
        (self._production_variant,) = config["ProductionVariants"]
        self.production_variant: str = self._production_variant["VariantName"]
        self.instance_type: str = self._production_variant["InstanceType"]
        self.execution_role: str = model["ExecutionRoleArn"]
        self.desired = instances_of(config) if instances is None else instances
        self._settings, self._endpoint, self._model = settings, endpoint, model
        self._folder = settings.endpoints / endpoint / uuid.uuid4().hex[:8]
        self._instances: list[Instance] = []
        self._starting: list[Container] = []
        self._stopped = False
        self._lock = threading.Lock()

    @property
    def instances(self) -> Sequence[Instance]:
        """Those that have been healthy; one may be restarting."""
        return tuple(self._instances)

    @contextmanager
    def instance(self) -> Iterator[Instance | None]:
        """Of the healthy ones the one whose turn it is, held for a request; None without any."""
        with self._lock:
            healthy = [one for one in self._instances if one.container.healthy]
            chosen = self._choose(healthy) if healthy else None
            if chosen:
                chosen.outstanding += 1
        try:
            yield chosen
        finally:
            if chosen:
                with self._lock:
                    chosen.outstanding -= 1

    def _choose(self, healthy: Sequence[Instance]) -> Instance:
        routing = self._production_variant.get("RoutingConfig") or {}
        least_busy = routing.get("RoutingStrategy") == "LEAST_OUTSTANDING_REQUESTS"
        # From a queue each instance takes what it has room for.
        if least_busy or "AsyncInferenceConfig" in self.config:
            return min(healthy, key=lambda one: one.outstanding)
        return random.choice(healthy)

    def start(self) -> None:
        """Returns when all are healthy. ContainerFailed and BadRequest, with nothing left of it."""
        try:
            self._add(self.desired)
        except BaseException:
            self.stop()
            raise

    def scale(self, desired: int) -> None:
        """Returns when there are so many. ContainerFailed where one doesn't come up: those that
        did stay, and no more are wanted."""
        self.desired = desired
        more = desired - len(self._instances)
        try:
            if more > 0 and self._settings.fault("endpoint-capacity") is not None:
                raise ContainerFailed(CAPACITY)
            self._add(more)
        except BaseException:
            self.desired = len(self._instances)
            raise
        for _ in range(-more):
            self._remove()

    def drain(self) -> None:
        """As `stop`, when it has finished what it has."""
        # What has just chosen this fleet counts once it has an instance.
        time.sleep(DRAIN_POLL_S)
        self._finish(self._instances)
        self.stop()

    def stop(self) -> None:
        """End the containers and remove their files. Safe to call twice."""
        with self._lock:
            self._stopped = True
            containers = [*self._starting, *(one.container for one in self._instances)]
        for container in containers:
            container.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _add(self, count: int) -> None:
        """Start so many, side by side."""
        if count <= 0:
            return
        role = sagemaker_role(self._settings, self.execution_role)
        with ThreadPoolExecutor(count, "launch", enter_account, (self._settings,)) as pool:
            launches = [pool.submit(self._launch, role) for _ in range(count)]
        for launch in launches:
            launch.result()

    def _launch(self, role: RoleSession) -> None:
        name = f"i-{uuid.uuid4().hex[:8]}"
        timeout_s = float(
            self._production_variant.get(
                "ContainerStartupHealthCheckTimeoutInSeconds", DEFAULT_STARTUP_TIMEOUT_S
            )
        )
        main = self._model["PrimaryContainer"]
        uri = model_uri(main)
        if uri and (vpc := self._model.get("VpcConfig")) and not leads_to_s3(vpc):
            raise ContainerFailed(MODEL_UNREACHABLE.format(uri))
        plan = plan_container(self._settings, main, role, self._folder / name, timeout_s)
        group = f"/aws/sagemaker/Endpoints/{self._endpoint}"
        stream = f"{self.production_variant}/{name}"
        container = Container(self._settings, plan, LogStream(self._settings, group, stream, role))
        with self._lock:
            if self._stopped:
                raise ContainerFailed("stopped before it started")
            self._starting.append(container)
        try:
            container.start()
        except ContainerFailed as error:
            shutil.rmtree(plan.folder, ignore_errors=True)
            raise ContainerFailed(
                f"The primary container for production variant {self.production_variant} did not "
                "pass the ping health check. Please check CloudWatch logs for this endpoint. "
                f"[Here AWS ends. The local cloud adds: {error}]"
            ) from error
        finally:
            with self._lock:
                self._starting.remove(container)
                if container.healthy:
                    self._instances.append(Instance(name, container))

    def _remove(self) -> None:
        """Take the least busy one away; it finishes what it has."""
        with self._lock:
            gone = min(self._instances, key=lambda one: one.outstanding)
            self._instances.remove(gone)
        self._finish([gone])
        gone.container.stop()
        shutil.rmtree(self._folder / gone.name, ignore_errors=True)

    def _finish(self, instances: Sequence[Instance]) -> None:
        """Returns when they have nothing to do any more, or have had their time."""
        deadline = time.monotonic() + DRAIN_S
        while any(one.outstanding for one in instances):
            if time.monotonic() > deadline or self._stopped:
                return
            time.sleep(DRAIN_POLL_S)


def instances_of(config: Mapping[str, Any]) -> int:
    """How many a configuration begins with."""
    return int(config["ProductionVariants"][0].get("InitialInstanceCount", 1))
