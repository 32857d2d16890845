"""The metrics that SageMaker publishes of an endpoint as time goes by, whatever is invoked.

Dimensions: developer guide, async-inference-monitor and monitoring-cloudwatch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from local_cloud.ministack.identity import repeat_in_account
from local_cloud.ministack.telemetry import HIGH_RESOLUTION_S, Metric, put_metrics
from local_cloud.sagemaker.async_queue import Backlog
from local_cloud.sagemaker.endpoint import Endpoint
from local_cloud.sagemaker.endpoints import Endpoints
from local_cloud.sagemaker.runtime import NAMESPACE
from local_cloud.settings import CloudSettings

# Standard metrics come once a minute.
EVERY = 60 // HIGH_RESOLUTION_S
# How long CloudWatch keeps data points of less than a minute (user guide, metrics retention).
HIGH_RESOLUTION_KEPT_S = 3 * 3600


class EndpointMetrics:
    """`backlog` is of an asynchronous endpoint's queue."""

    def __init__(
        self,
        settings: CloudSettings,
        endpoints: Endpoints,
        backlog: Callable[[Endpoint], Backlog],
    ) -> None:
        self._settings, self._endpoints, self._backlog = settings, endpoints, backlog
        self._turns = itertools.count(1)

    def start(self) -> Callable[[], None]:
        """Publish from now on, on a thread; what is given ends it."""
        every_s = HIGH_RESOLUTION_S * self._settings.time_scale
        return repeat_in_account(self._settings, self._publish, every_s, "endpoint-metrics")

    def _publish(self) -> None:
        number = next(self._turns)
        for endpoint in self._endpoints.serving():
            if not endpoint.asynchronous:
                publish_concurrency(endpoint, self._settings.time_scale)
            elif number % EVERY == 0:
                publish_backlog(endpoint, self._backlog(endpoint))


def publish_concurrency(endpoint: Endpoint, second: float) -> None:
    """Each instance's ConcurrentRequestsPerModel, "including the requests that are queued inside
    the containers", every 10 s (endpoint-auto-scaling-add-code-define)."""
    fleet = endpoint.fleet
    assert fleet is not None
    dimensions = {"EndpointName": endpoint.name, "VariantName": fleet.production_variant}
    put_metrics(
        NAMESPACE,
        dimensions,
        [
            Metric("ConcurrentRequestsPerModel", float(instance.outstanding), "None")
            for instance in fleet.instances
        ],
        HIGH_RESOLUTION_KEPT_S * second,
    )


def publish_backlog(endpoint: Endpoint, backlog: Backlog) -> None:
    """The queue's, of the endpoint alone: with VariantName there is no such series.

    Without an instance the backlog counts as one instance's: target tracking starts up from zero
    once it "exceeds the target tracking value" (async-inference-autoscale).
    """
    instances = len(endpoint.fleet.instances) if endpoint.fleet else 0
    without_capacity = backlog.size > 0 and instances == 0
    put_metrics(
        NAMESPACE,
        {"EndpointName": endpoint.name},
        [
            Metric("ApproximateBacklogSize", float(backlog.size), "Count"),
            Metric("ApproximateBacklogSizePerInstance", backlog.size / (instances or 1), "Count"),
            Metric("ApproximateAgeOfOldestRequest", backlog.oldest_age_s, "Seconds"),
            Metric("HasBacklogWithoutCapacity", float(without_capacity), "Count"),
        ],
    )
