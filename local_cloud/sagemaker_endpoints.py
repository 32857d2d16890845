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

from local_cloud.alarms import Alarms
from local_cloud.api_shapes import BadRequest
from local_cloud.auto_rollback import AlarmTripped, AutoRollback
from local_cloud.bridge import enter_account, run_in_account
from local_cloud.endpoint_fleet import Fleet, FleetStarter
from local_cloud.endpoint_process import ContainerFailed
from local_cloud.image_store import ImageStore
from local_cloud.sagemaker_models import Models
from local_cloud.sagemaker_resources import (
    Answer,
    Operations,
    Request,
    Tags,
    make_arn,
    one_page,
)
from local_cloud.settings import CloudSettings

BAKING_POLL_S = 0.05


@dataclass
class Endpoint:
    """An endpoint and what serves it. `fleet` is None until the first one is healthy; `previous` is
    the one before, while an update bakes."""

    name: str
    arn: str
    config: Mapping[str, Any]
    status: str
    created: float
    modified: float
    failure: str = ""
    fleet: Fleet | None = None
    starting: Fleet | None = None
    previous: Fleet | None = None
    deployment: Mapping[str, Any] | None = None
    done: threading.Event = field(default_factory=threading.Event)
    """Set while no creation or update is under way."""


class Endpoints:
    """Endpoints by name. `lock` guards every change of their state."""

    def __init__(
        self,
        settings: CloudSettings,
        models: Models,
        tags: Tags,
        lock: threading.RLock,
        alarms: Alarms,
    ) -> None:
        self._settings, self._models, self._tags, self._lock = settings, models, tags, lock
        self._alarms = alarms
        self._starter = FleetStarter(settings, ImageStore(settings.images))
        self.endpoints: dict[str, Endpoint] = {}
        self.operations: Operations = {
            "CreateEndpoint": self._create_endpoint,
            "UpdateEndpoint": self._update_endpoint,
            "DescribeEndpoint": self._describe_endpoint,
            "DeleteEndpoint": self._delete_endpoint,
            "ListEndpoints": self._list_endpoints,
            "UpdateEndpointWeightsAndCapacities": self._update_weights,
        }

    def stop(self) -> None:
        """End every container of every endpoint."""
        for name in list(self.endpoints):
            self._end(self.endpoints.pop(name))

    def _create_endpoint(self, request: Request) -> Answer:
        name = request["EndpointName"]
        arn = self._arn(name)
        if name in self.endpoints:
            raise BadRequest(
                "ValidationException", f'Cannot create already existing endpoint "{arn}".'
            )
        config = self._models.config(request["EndpointConfigName"])
        now = time.time()
        endpoint = Endpoint(
            name=name,
            arn=arn,
            config=config,
            status="Creating",
            created=now,
            modified=now,
            deployment=request.get("DeploymentConfig"),
        )
        self.endpoints[name] = endpoint
        self._tags.put(arn, request)
        self._roll_out(endpoint, config, {})
        return {"EndpointArn": arn}

    def _update_endpoint(self, request: Request) -> Answer:
        endpoint = self.endpoint(request["EndpointName"])
        if endpoint.status not in ("InService", "Failed"):
            raise BadRequest(
                "ValidationException",
                f'Cannot update in-progress endpoint "{endpoint.arn}".',
            )
        config = self._models.config(request["EndpointConfigName"])
        deployment = request.get("DeploymentConfig") or {}
        if request.get("RetainDeploymentConfig"):
            deployment = endpoint.deployment or {}
        endpoint.deployment = deployment or endpoint.deployment
        endpoint.status, endpoint.failure = "Updating", ""
        self._roll_out(endpoint, config, deployment)
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
        if endpoint.fleet:
            answer["ProductionVariants"] = [
                {
                    "VariantName": variant.name,
                    "CurrentWeight": variant.weight,
                    "DesiredWeight": variant.weight,
                    "CurrentInstanceCount": variant.instances,
                    "DesiredInstanceCount": variant.instances,
                }
                for variant in endpoint.fleet.variants
            ]
        if endpoint.failure:
            answer["FailureReason"] = endpoint.failure
        if endpoint.deployment:
            answer["LastDeploymentConfig"] = endpoint.deployment
        if "AsyncInferenceConfig" in endpoint.config:
            answer["AsyncInferenceConfig"] = endpoint.config["AsyncInferenceConfig"]
        return answer

    def _delete_endpoint(self, request: Request) -> Answer:
        endpoint = self.endpoint(request["EndpointName"])
        endpoint.status = "Deleting"
        del self.endpoints[endpoint.name]
        self._tags.drop(endpoint.arn)
        self._end(endpoint)
        return {}

    def _list_endpoints(self, request: Request) -> Answer:
        found = [
            {
                "EndpointName": endpoint.name,
                "EndpointArn": endpoint.arn,
                "CreationTime": endpoint.created,
                "LastModifiedTime": endpoint.modified,
                "EndpointStatus": endpoint.status,
            }
            for endpoint in self.endpoints.values()
            if request.get("StatusEquals") in (None, endpoint.status)
        ]
        return {"Endpoints": one_page(found, request, "EndpointName")}

    def _update_weights(self, request: Request) -> Answer:
        endpoint = self.endpoint(request["EndpointName"])
        if endpoint.status != "InService" or endpoint.fleet is None:
            raise BadRequest(
                "ValidationException", f'Cannot update in-progress endpoint "{endpoint.arn}".'
            )
        for desired in request["DesiredWeightsAndCapacities"]:
            variant = endpoint.fleet.pick(desired["VariantName"])
            if variant is None:
                raise BadRequest(
                    "ValidationException",
                    f"The variant name {desired['VariantName']} does not exist.",
                )
            variant.weight = float(desired.get("DesiredWeight", variant.weight))
            variant.instances = int(desired.get("DesiredInstanceCount", variant.instances))
        endpoint.modified = time.time()
        return {"EndpointArn": endpoint.arn}

    def endpoint(self, name: str) -> Endpoint:
        """BadRequest where there is none of that name."""
        if name not in self.endpoints:
            raise BadRequest("ValidationException", f'Could not find endpoint "{self._arn(name)}".')
        return self.endpoints[name]

    def _roll_out(
        self, endpoint: Endpoint, config: Mapping[str, Any], deployment: Mapping[str, Any]
    ) -> None:
        """Start a fleet beside the one that serves; swap when healthy, else keep the old one."""
        fleet = endpoint.starting = Fleet(config, [])
        endpoint.done.clear()
        models = {
            variant["ModelName"]: self._models.model(variant["ModelName"])
            for variant in config["ProductionVariants"]
        }

        roles = (model["ExecutionRoleArn"] for model in models.values())
        rollback = AutoRollback(self._settings, self._alarms, deployment, roles)

        def work() -> None:
            try:
                rollback.check_allowed()
                rollback.check()
                self._starter.start(endpoint.name, config, models, fleet)
                rollback.check()
                if endpoint.fleet and self._fault("endpoint-rollback"):
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

    def _end(self, endpoint: Endpoint) -> None:
        enter_account(self._settings)
        endpoint.status = "Deleting"
        for fleet in (endpoint.starting, endpoint.fleet, endpoint.previous):
            if fleet:
                fleet.stop()

    def _fault(self, name: str) -> bool:
        """Tests make AWS's own failures happen by a file of this name in `<state>/faults/`."""
        return (self._settings.state / "faults" / name).exists()

    def _arn(self, name: str) -> str:
        return make_arn(self._settings, "endpoint", name)
