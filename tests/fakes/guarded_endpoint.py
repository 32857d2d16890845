"""One variant's endpoint in an account, for what stops and starts it: requests are checked against
AWS's own models, and time passes only when a test says so."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from idle_guard.guard import Guard
from idle_guard.handler import guard
from local_cloud.api_shapes import check_request
from sd_contract.limits import PARAMETER_CHARS
from sd_contract.registration import start_command
from tests.fakes.front_door import registration

START = datetime(2026, 11, 25, 8, tzinfo=UTC).timestamp()
PARAMETER, CONFIG = "/sd/variants/g5", "SdG5Stack-Config-1"
COMMAND = start_command("g5", "sd", "us-east-1")
HOUR = 3600.0


def registered(**changes: Any) -> dict[str, Any]:
    """As a deploy writes it, which says nothing of being stopped."""
    document = registration(endpoint_config=CONFIG, **changes)
    del document["stopped"]
    return document


@dataclass
class GuardedEndpoint:
    """In service since START, with `instances`; `requests` are when they came."""

    time: float = START
    status: str | None = "InService"
    config: str = CONFIG
    modified: float = START
    instances: int = 1
    least: int = 1
    scales: bool = False
    failure: str = ""
    requests: list[float] = field(default_factory=list)
    documents: dict[str, dict[str, Any]] = field(default_factory=lambda: {PARAMETER: registered()})
    calls: list[str] = field(default_factory=list)
    told: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    broken: str = ""
    """An operation that AWS refuses."""

    def guard(self, idle_h: str = "", scales: str = "false") -> Guard:
        return guard(
            {
                "SD_EVENT_SOURCE": "sd.endpoints",
                "SD_REGISTRATION": PARAMETER,
                "SD_START_COMMAND": COMMAND,
                "SD_IDLE_H": idle_h,
                "SD_PRODUCTION_VARIANT": "main",
                "SD_SCALES": scales,
            },
            self.clients,
            lambda: self.time,
        )

    def clients(self, service: str, **_place: Any) -> Any:
        return _Client(self, service)

    @property
    def stopped(self) -> dict[str, str] | None:
        found: dict[str, str] | None = self.documents[PARAMETER].get("stopped")
        return found

    @property
    def came_back(self) -> tuple[str | None, str]:
        """Its state and configuration, once nothing calls it stopped any more."""
        assert self.stopped is None
        return self.status, self.config

    def comes_up(self) -> None:
        """What SageMaker was at is done."""
        self.status, self.modified = {
            "Deleting": (None, self.modified),
            "Creating": ("InService", self.time),
            "Updating": ("InService", self.time),
        }[str(self.status)]

    # --- operations -----------------------------------------------------------------------------

    def DescribeEndpoint(self, EndpointName: str) -> dict[str, Any]:
        self._there(EndpointName)
        return {
            "EndpointStatus": self.status,
            "EndpointConfigName": self.config,
            "LastModifiedTime": datetime.fromtimestamp(self.modified, UTC),
            "ProductionVariants": [{"VariantName": "main", "CurrentInstanceCount": self.instances}],
            "FailureReason": self.failure,
        }

    def DeleteEndpoint(self, EndpointName: str) -> dict[str, Any]:
        self._there(EndpointName)
        self.status = "Deleting"
        return {}

    def CreateEndpoint(self, EndpointName: str, EndpointConfigName: str) -> dict[str, Any]:
        if self.status is not None:
            raise refused(f'Cannot create already existing endpoint "{EndpointName}".')
        self.status, self.config, self.modified = "Creating", EndpointConfigName, self.time
        return {}

    def UpdateEndpointWeightsAndCapacities(
        self, EndpointName: str, DesiredWeightsAndCapacities: list[dict[str, Any]]
    ) -> dict[str, Any]:
        self._there(EndpointName)
        (change,) = DesiredWeightsAndCapacities
        self.instances, self.status = change["DesiredInstanceCount"], "Updating"
        return {}

    def DescribeScalableTargets(self, **asked: Any) -> dict[str, Any]:
        name = "endpoint/sd-g5/variant/main"
        assert asked.get("ResourceIds", [name]) == [name]
        own = [{"ResourceId": name, "MinCapacity": self.least}] if self.scales else []
        return {"ScalableTargets": own}

    def GetMetricStatistics(self, **asked: Any) -> dict[str, Any]:
        assert {each["Name"]: each["Value"] for each in asked["Dimensions"]} == {
            "EndpointName": "sd-g5",
            "VariantName": "main",
        }
        assert (asked["Namespace"], asked["MetricName"]) == ("AWS/SageMaker", "Invocations")
        periods: dict[float, float] = {}
        for at in self.requests:
            begun = at // asked["Period"] * asked["Period"]
            if asked["StartTime"].timestamp() // asked["Period"] * asked["Period"] <= begun:
                periods[begun] = periods.get(begun, 0.0) + 1.0
        assert len(periods) <= 1440
        return {"Datapoints": [{"Sum": total} for total in periods.values()]}

    def GetParameter(self, Name: str) -> dict[str, Any]:
        return {"Parameter": {"Value": json.dumps(self.documents[Name])}}

    def GetParametersByPath(self, Path: str) -> dict[str, Any]:
        values = [doc for name, doc in self.documents.items() if name.startswith(f"{Path}/")]
        return {"Parameters": [{"Value": json.dumps(value)} for value in values]}

    def PutParameter(self, Name: str, Value: str, Type: str, Overwrite: bool) -> dict[str, Any]:
        assert (Type, Overwrite) == ("String", True)
        assert len(Value) <= PARAMETER_CHARS
        self.documents[Name] = json.loads(Value)
        return {}

    def PutEvents(self, Entries: list[dict[str, str]]) -> dict[str, Any]:
        (entry,) = Entries
        assert entry["Source"] == "sd.endpoints"
        self.told.append((entry["DetailType"], json.loads(entry["Detail"])))
        return {"FailedEntryCount": 0}

    def _there(self, name: str) -> None:
        assert name == "sd-g5"
        if self.status is None:
            # boto/boto3's ValidationException, as of aws/amazon-sagemaker-examples#2402.
            raise refused(f'Could not find endpoint "arn:…:endpoint/{name}".')


@dataclass(frozen=True)
class _Client:
    account: GuardedEndpoint
    service: str

    def __getattr__(self, method: str) -> Any:
        operation = "".join(word.capitalize() for word in method.split("_"))

        def call(**request: Any) -> Any:
            check_request(self.service, operation, request)
            self.account.calls.append(operation)
            if operation == self.account.broken:
                raise refused("not allowed", "AccessDeniedException")
            return getattr(self.account, operation)(**request)

        return call

    def get_paginator(self, method: str) -> Any:
        return _Pages(getattr(self, method))


@dataclass(frozen=True)
class _Pages:
    call: Any

    def paginate(self, **request: Any) -> list[Any]:
        return [self.call(**request)]


def refused(message: str, code: str = "ValidationException") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "of SageMaker")
