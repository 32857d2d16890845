"""An endpoint as it stands, and who has a word in what becomes of it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from local_cloud.sagemaker.fleet import Fleet
from local_cloud.sagemaker.resources import Answer, Request


class ScalableVariants(Protocol):
    """What Application Auto Scaling knows of endpoints."""

    def scales(self, endpoint: str) -> bool:
        """Whether its variant is registered as a scalable target."""

    def forget(self, endpoint: str) -> None:
        """It is deleted, and with it what was registered of it."""


@dataclass
class Endpoint:
    """An endpoint and what serves it. `fleet` is None until the first one is healthy; `previous` is
    the one before, while an update bakes, and `share` what the new one has of the traffic."""

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
    share: float = 1.0
    done: threading.Event = field(default_factory=threading.Event)
    """Set while no creation or update is under way."""

    @property
    def asynchronous(self) -> Mapping[str, Any] | None:
        """Its AsyncInferenceConfig. With one it takes asynchronous invocations alone (developer
        guide, async-inference)."""
        config = self.fleet.config if self.fleet else self.config
        found: Mapping[str, Any] | None = config.get("AsyncInferenceConfig")
        return found

    def next_fleet(self) -> Fleet | None:
        """The one that takes the next request; None where there is none yet."""
        previous = self.previous
        return previous if previous and random.random() >= self.share else self.fleet

    def stop(self) -> None:
        """End its containers."""
        self.status = "Deleting"
        for fleet in (self.starting, self.fleet, self.previous):
            if fleet:
                fleet.stop()

    def described(self) -> Answer:
        """DescribeEndpoint's answer."""
        answer: Answer = {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointConfigName": self.config["EndpointConfigName"],
            "EndpointStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
        }
        if fleet := self.fleet:
            answer["ProductionVariants"] = [
                {
                    "VariantName": fleet.production_variant,
                    "CurrentInstanceCount": len(fleet.instances),
                    "DesiredInstanceCount": fleet.desired,
                }
            ]
        if self.asynchronous:
            answer["AsyncInferenceConfig"] = self.asynchronous
        if self.failure:
            answer["FailureReason"] = self.failure
        return answer


def kept_instances(endpoint: Endpoint, request: Request) -> int | None:
    """How many instances an update begins with: those that the endpoint has, where it retains the
    variant's properties; None: as many as the new configuration says, which is the default."""
    excluded = request.get("ExcludeRetainedVariantProperties") or ()
    if (
        endpoint.fleet is None
        or not request.get("RetainAllVariantProperties")
        or {"VariantPropertyType": "DesiredInstanceCount"} in excluded
    ):
        return None
    return endpoint.fleet.desired
