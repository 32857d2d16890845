"""SageMaker's endpoints: created, updated blue/green, rolled back, scaled, deleted.

An update bakes: the new fleet takes the traffic, at once or by and by, the old one stays for
TerminationWaitInSeconds and takes it back when an alarm of AutoRollbackConfiguration is in ALARM
during the deployment (developer guide, deployment-guardrails-configuration).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from local_cloud.api_shapes import BadRequest, service_model
from local_cloud.ministack.alarms import Alarms
from local_cloud.ministack.identity import run_in_account
from local_cloud.sagemaker.container import ContainerFailed
from local_cloud.sagemaker.endpoint import Endpoint, ScalableVariants, kept_instances
from local_cloud.sagemaker.fleet import Fleet, instances_of
from local_cloud.sagemaker.models import Models
from local_cloud.sagemaker.resources import Answer, Operations, Request, invalid, make_arn
from local_cloud.sagemaker.rollback import AlarmTripped, AutoRollback
from local_cloud.sagemaker.traffic import TrafficShift, traffic_shift
from local_cloud.service_quotas import exceeded, limit
from local_cloud.settings import CloudSettings

BAKING_POLL_S = 0.05


class Endpoints:
    """Endpoints by name. `lock` guards every change of their state."""

    def __init__(
        self, settings: CloudSettings, models: Models, lock: threading.RLock, alarms: Alarms
    ) -> None:
        self._settings, self._models, self._lock, self._alarms = settings, models, lock, alarms
        self._endpoints: dict[str, Endpoint] = {}
        self.scaling: ScalableVariants | None = None
        self.operations: Operations = {
            "CreateEndpoint": self._create_endpoint,
            "UpdateEndpoint": self._update_endpoint,
            "UpdateEndpointWeightsAndCapacities": self._update_capacities,
            "DescribeEndpoint": self._describe_endpoint,
            "ListEndpoints": self._list_endpoints,
            "DeleteEndpoint": self._delete_endpoint,
        }

    def endpoint(self, name: str) -> Endpoint:
        """BadRequest where there is none of that name."""
        if name not in self._endpoints:
            raise invalid(
                f'Could not find endpoint "{make_arn(self._settings, "endpoint", name)}".'
            )
        return self._endpoints[name]

    def serving(self) -> list[Endpoint]:
        """Those with a fleet that takes invocations."""
        return [endpoint for endpoint in list(self._endpoints.values()) if endpoint.fleet]

    def taking_invocations(self, name: str) -> tuple[Endpoint, Fleet]:
        """BadRequest where there is none of that name, or nothing serves it yet."""
        endpoint = self._endpoints.get(name)
        fleet = endpoint.next_fleet() if endpoint else None
        if endpoint is None or fleet is None:
            # aws/amazon-sagemaker-examples#559.
            account = self._settings.account
            raise BadRequest("ValidationError", f"Endpoint {name} of account {account} not found.")
        return endpoint, fleet

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
        shift = traffic_shift(request.get("DeploymentConfig") or {}, instances_of(config))
        self._refuse_for_quota(config, None)
        endpoint = self._endpoints[name] = Endpoint(name, arn, config)
        self._roll_out(endpoint, config, shift, {}, None)
        return {"EndpointArn": arn}

    def _update_endpoint(self, request: Request) -> Answer:
        endpoint = self._settled(request["EndpointName"])
        config = self._models.config(request["EndpointConfigName"])
        self._check_instance_type(endpoint, config)
        kept = kept_instances(endpoint, request)
        self._refuse_for_quota(config, kept)
        deployment = request.get("DeploymentConfig") or {}
        shift = traffic_shift(deployment, kept or instances_of(config))
        endpoint.status, endpoint.failure = "Updating", ""
        self._roll_out(endpoint, config, shift, deployment, kept)
        return {"EndpointArn": endpoint.arn}

    def _update_capacities(self, request: Request) -> Answer:
        endpoint = self._settled(request["EndpointName"])
        (change, *others) = request["DesiredWeightsAndCapacities"]
        fleet, wanted = endpoint.fleet, change.get("DesiredInstanceCount")
        if others or wanted is None or "DesiredWeight" in change:
            raise invalid("The local cloud changes the DesiredInstanceCount of one variant alone.")
        if fleet is None or change["VariantName"] != fleet.production_variant:
            raise invalid(f'Could not find variant "{change["VariantName"]}".')
        if wanted < 1 and not endpoint.asynchronous:
            # Developer guide, async-inference-autoscale: no other kind of model can be at zero.
            raise invalid(
                f"DesiredInstanceCount of variant {fleet.production_variant} must be at least 1: "
                "the endpoint has no AsyncInferenceConfig."
            )
        endpoint.status, endpoint.failure = "Updating", ""
        endpoint.done.clear()

        def work() -> None:
            try:
                fleet.scale(wanted)
            except (ContainerFailed, BadRequest, OSError) as error:
                endpoint.failure = str(error)
            finally:
                with self._lock:
                    endpoint.modified = time.time()
                    if endpoint.status != "Deleting":
                        endpoint.status = "InService"
                endpoint.done.set()

        run_in_account(self._settings, work, f"scale-{endpoint.name}")
        return {"EndpointArn": endpoint.arn}

    def _settled(self, name: str) -> Endpoint:
        endpoint = self.endpoint(name)
        if endpoint.status not in ("InService", "Failed"):
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        return endpoint

    def _check_instance_type(self, endpoint: Endpoint, config: Mapping[str, Any]) -> None:
        """Such an update fails (developer guide, endpoint-scaling-update)."""
        fleet, new = endpoint.fleet, config["ProductionVariants"][0]["InstanceType"]
        if (
            fleet
            and fleet.instance_type != new
            and self.scaling
            and self.scaling.scales(endpoint.name)
        ):
            raise invalid(
                f"The update would change the instance type of variant {fleet.production_variant} "
                f"from {fleet.instance_type} to {new}, and the variant is a target for automatic "
                "scaling: deregister it first."
            )

    def _refuse_for_quota(self, config: Mapping[str, Any], instances: int | None) -> None:
        """Where a fault of service_quotas.py says how many instances of a type there may be: an
        update's stand beside those that serve."""
        (variant,) = config["ProductionVariants"]
        kind = variant["InstanceType"]
        if (allowed := limit(self._settings, f"{kind} for endpoint usage")) is None:
            return
        fleets = [endpoint.fleet for endpoint in self.serving()]
        used = sum(fleet.desired for fleet in fleets if fleet and fleet.instance_type == kind)
        wanted = instances if instances is not None else variant["InitialInstanceCount"]
        if used + wanted > allowed:
            raise exceeded(f"{kind} for endpoint usage", allowed, used, wanted)

    def _describe_endpoint(self, request: Request) -> Answer:
        return self.endpoint(request["EndpointName"]).described()

    def _list_endpoints(self, request: Request) -> Answer:
        if request:
            raise invalid("The local cloud lists all endpoints at once.")
        members = service_model("sagemaker").shape_for("EndpointSummary").members
        return {
            "Endpoints": [
                {key: value for key, value in endpoint.described().items() if key in members}
                for endpoint in list(self._endpoints.values())
            ]
        }

    def _delete_endpoint(self, request: Request) -> Answer:
        self.endpoint(request["EndpointName"])
        self._endpoints.pop(request["EndpointName"]).stop()
        if self.scaling:
            self.scaling.forget(request["EndpointName"])
        return {}

    def _roll_out(
        self,
        endpoint: Endpoint,
        config: Mapping[str, Any],
        shift: TrafficShift,
        deployment: Mapping[str, Any],
        instances: int | None,
    ) -> None:
        """Start a fleet beside the one that serves; swap when healthy, else keep the old one."""
        model = self._models.model(config["ProductionVariants"][0]["ModelName"])
        fleet = endpoint.starting = Fleet(self._settings, endpoint.name, config, model, instances)
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
                elif self._swap(endpoint, fleet, shift.shares[0]):
                    self._bake(endpoint, shift, rollback)
                    self._complete(endpoint)
            except (AlarmTripped, ContainerFailed, BadRequest, OSError) as error:
                self._roll_back(endpoint, fleet, str(error))
            finally:
                endpoint.done.set()

        run_in_account(self._settings, work, f"endpoint-{endpoint.name}")

    def _swap(self, endpoint: Endpoint, fleet: Fleet, share: float) -> bool:
        """So much of the traffic goes to the new fleet, all of it where there is no old one; False
        where the endpoint is deleted meanwhile."""
        with self._lock:
            if endpoint.status == "Deleting":
                fleet.stop()
                return False
            endpoint.share = share
            endpoint.previous, endpoint.fleet = endpoint.fleet, fleet
            endpoint.starting = None
        return True

    def _bake(self, endpoint: Endpoint, shift: TrafficShift, rollback: AutoRollback) -> None:
        """Each share of the traffic for its time."""
        for share in shift.shares:
            endpoint.share = share
            wait_s = shift.wait_s if share < 1 else shift.termination_s
            until = time.monotonic() + wait_s * self._settings.time_scale
            while endpoint.previous and time.monotonic() < until:
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
            old.drain()

    def _roll_back(self, endpoint: Endpoint, fleet: Fleet, reason: str) -> None:
        with self._lock:
            endpoint.starting, endpoint.failure = None, reason
            if endpoint.fleet is fleet and endpoint.previous:
                endpoint.fleet, endpoint.previous = endpoint.previous, None
            endpoint.modified = time.time()
            if endpoint.status != "Deleting":
                endpoint.status = "InService" if endpoint.fleet else "Failed"
        fleet.drain()
