"""SageMaker's endpoints: created, updated blue/green, rolled back, deleted.

An update bakes: the new fleet takes the traffic, the old one stays for TerminationWaitInSeconds
and takes it back when an alarm of AutoRollbackConfiguration is in ALARM during the deployment
(developer guide, deployment-guardrails-configuration).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local_cloud.api_shapes import BadRequest
from local_cloud.ministack.alarms import Alarms
from local_cloud.ministack.identity import run_in_account
from local_cloud.sagemaker.container import ContainerFailed
from local_cloud.sagemaker.fleet import Fleet
from local_cloud.sagemaker.models import Models
from local_cloud.sagemaker.resources import Answer, Operations, Request, invalid, make_arn
from local_cloud.sagemaker.rollback import AlarmTripped, AutoRollback
from local_cloud.settings import CloudSettings

BAKING_POLL_S = 0.05


@dataclass
class Endpoint:
    """An endpoint and what serves it. `fleet` is None until the first one is healthy; `previous` is
    the one before, while an update bakes."""

    name: str
    arn: str
    config: Mapping[str, Any]
    status: str = "Creating"
    created: float = field(default_factory=time.time)
    modified: float = field(default_factory=time.time)
    failure: str = ""
    fleet: Fleet | None = None
    starting: Fleet | None = None
    previous: Fleet | None = None
    done: threading.Event = field(default_factory=threading.Event)
    """Set while no creation or update is under way."""

    def stop(self) -> None:
        """End its containers."""
        self.status = "Deleting"
        for fleet in (self.starting, self.fleet, self.previous):
            if fleet:
                fleet.stop()


class Endpoints:
    """Endpoints by name. `lock` guards every change of their state."""

    def __init__(
        self, settings: CloudSettings, models: Models, lock: threading.RLock, alarms: Alarms
    ) -> None:
        self._settings, self._models, self._lock, self._alarms = settings, models, lock, alarms
        self._endpoints: dict[str, Endpoint] = {}
        self.operations: Operations = {
            "CreateEndpoint": self._create_endpoint,
            "UpdateEndpoint": self._update_endpoint,
            "DescribeEndpoint": self._describe_endpoint,
            "DeleteEndpoint": self._delete_endpoint,
        }

    def endpoint(self, name: str) -> Endpoint:
        """BadRequest where there is none of that name."""
        if name not in self._endpoints:
            raise invalid(
                f'Could not find endpoint "{make_arn(self._settings, "endpoint", name)}".'
            )
        return self._endpoints[name]

    def serving(self, name: str) -> Fleet | None:
        """What answers an endpoint's invocations."""
        endpoint = self._endpoints.get(name)
        return endpoint.fleet if endpoint else None

    def stop(self) -> None:
        """End every container of every endpoint."""
        while self._endpoints:
            self._endpoints.popitem()[1].stop()

    def _create_endpoint(self, request: Request) -> Answer:
        name = request["EndpointName"]
        arn = make_arn(self._settings, "endpoint", name)
        if name in self._endpoints:
            raise invalid(f'Cannot create already existing endpoint "{arn}".')
        config = self._models.config(request["EndpointConfigName"])
        endpoint = self._endpoints[name] = Endpoint(name, arn, config)
        self._roll_out(endpoint, config, {})
        return {"EndpointArn": arn}

    def _update_endpoint(self, request: Request) -> Answer:
        endpoint = self.endpoint(request["EndpointName"])
        if endpoint.status not in ("InService", "Failed"):
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        config = self._models.config(request["EndpointConfigName"])
        endpoint.status, endpoint.failure = "Updating", ""
        self._roll_out(endpoint, config, request.get("DeploymentConfig") or {})
        return {"EndpointArn": endpoint.arn}

    def _describe_endpoint(self, request: Request) -> Answer:
        endpoint = self.endpoint(request["EndpointName"])
        answer: Answer = {
            "EndpointName": endpoint.name,
            "EndpointArn": endpoint.arn,
            "EndpointConfigName": endpoint.config["EndpointConfigName"],
            "EndpointStatus": endpoint.status,
            "CreationTime": endpoint.created,
            "LastModifiedTime": endpoint.modified,
        }
        if fleet := endpoint.fleet:
            answer["ProductionVariants"] = [
                {
                    "VariantName": fleet.production_variant,
                    "CurrentInstanceCount": fleet.instances,
                    "DesiredInstanceCount": fleet.instances,
                }
            ]
        if endpoint.failure:
            answer["FailureReason"] = endpoint.failure
        return answer

    def _delete_endpoint(self, request: Request) -> Answer:
        self.endpoint(request["EndpointName"])
        self._endpoints.pop(request["EndpointName"]).stop()
        return {}

    def _roll_out(
        self, endpoint: Endpoint, config: Mapping[str, Any], deployment: Mapping[str, Any]
    ) -> None:
        """Start a fleet beside the one that serves; swap when healthy, else keep the old one."""
        model = self._models.model(config["ProductionVariants"][0]["ModelName"])
        fleet = endpoint.starting = Fleet(self._settings, endpoint.name, config, model)
        endpoint.done.clear()
        rollback = AutoRollback(self._settings, self._alarms, deployment, model["ExecutionRoleArn"])

        def work() -> None:
            try:
                rollback.check_allowed()
                rollback.check()
                fleet.start()
                rollback.check()
                if endpoint.fleet and self._settings.fault("endpoint-rollback") is not None:
                    # It rolls back by itself and gives no reason
                    # (hashicorp/terraform-provider-aws#48997).
                    self._roll_back(endpoint, fleet, "")
                elif self._swap(endpoint, fleet):
                    self._bake(endpoint, deployment, rollback)
                    self._complete(endpoint)
            except (AlarmTripped, ContainerFailed, BadRequest, OSError) as error:
                self._roll_back(endpoint, fleet, str(error))
            finally:
                endpoint.done.set()

        run_in_account(self._settings, work, f"endpoint-{endpoint.name}")

    def _swap(self, endpoint: Endpoint, fleet: Fleet) -> bool:
        """Traffic goes to the new fleet; False where the endpoint is deleted meanwhile."""
        with self._lock:
            if endpoint.status == "Deleting":
                fleet.stop()
                return False
            endpoint.previous, endpoint.fleet = endpoint.fleet, fleet
            endpoint.starting = None
        return True

    def _bake(
        self, endpoint: Endpoint, deployment: Mapping[str, Any], rollback: AutoRollback
    ) -> None:
        policy = deployment.get("BlueGreenUpdatePolicy") or {}
        wait_s = policy.get("TerminationWaitInSeconds", 0) * self._settings.time_scale
        deadline = time.monotonic() + wait_s
        while endpoint.previous and time.monotonic() < deadline:
            rollback.check()
            time.sleep(BAKING_POLL_S)

    def _complete(self, endpoint: Endpoint) -> None:
        with self._lock:
            if endpoint.status == "Deleting" or endpoint.fleet is None:
                return
            old, endpoint.previous = endpoint.previous, None
            endpoint.config, endpoint.status = endpoint.fleet.config, "InService"
            endpoint.modified = time.time()
        if old:
            old.stop()

    def _roll_back(self, endpoint: Endpoint, fleet: Fleet, reason: str) -> None:
        with self._lock:
            endpoint.starting, endpoint.failure = None, reason
            if endpoint.fleet is fleet and endpoint.previous:
                endpoint.fleet, endpoint.previous = endpoint.previous, None
            endpoint.modified = time.time()
            if endpoint.status != "Deleting":
                endpoint.status = "InService" if endpoint.fleet else "Failed"
        fleet.stop()
