"""Whether an endpoint has been idle for too long, and what is done about it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from idle_guard.switch import IN_SERVICE, NotYet, Switch

log = logging.getLogger(__name__)

# Of a whole hour CloudWatch has one sum: a week of them is one answer (GetMetricStatistics gives up
# to 1,440 data points). Periods that began before the time asked for count whole, so at worst an
# endpoint is idle an hour longer.
PERIOD_S = 3600


@dataclass(frozen=True)
class Guard:
    """Wraps boto3's CloudWatch and Application Auto Scaling clients besides the switch's.

    `idle_h` hours without a request make it act; None: never. One that scales (`scales`) goes to
    the least it may have, since SageMaker forgets how it scales when it is deleted (developer
    guide, endpoint-delete-with-scaling); any other is stopped.
    """

    switch: Switch
    cloudwatch: Any
    autoscaling: Any
    production_variant: str
    idle_h: float | None
    scales: bool

    def handle(self, event: Mapping[str, Any]) -> None:
        """`{"action": "check"}`, or "stop" or "start", which the clock asks for."""
        match event["action"]:
            case "check":
                self.check()
            case "stop":
                self.switch.stop("by its schedule")
            case "start":
                self.switch.start()
            case other:
                raise ValueError(f"action: {other!r} must be one of check, start, stop")

    def check(self) -> None:
        described = self.switch.settle()
        if self.idle_h is None or not described or described["EndpointStatus"] != IN_SERVICE:
            return
        now = datetime.fromtimestamp(self.switch.now(), UTC)
        since = now - timedelta(hours=self.idle_h)
        # Of a start, an update and a scaling, too: whoever did that is about to use it.
        if described["LastModifiedTime"] > since or self.requests(since, now):
            return
        if self.scales:
            self._to_the_least(described)
            return
        try:
            self.switch.stop(f"no request for {self.idle_h:g} h")
        except NotYet as later:
            log.info("%s", later)

    def requests(self, since: datetime, until: datetime) -> float:
        """None are no data points: SageMaker sends no zeros."""
        answer = self.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="Invocations",
            Dimensions=[
                {"Name": "EndpointName", "Value": self.switch.endpoint_name},
                {"Name": "VariantName", "Value": self.production_variant},
            ],
            StartTime=since,
            EndTime=until,
            Period=PERIOD_S,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in answer["Datapoints"]))

    def _to_the_least(self, described: Mapping[str, Any]) -> None:
        """What its target allows just now: a schedule may have raised that."""
        name = f"endpoint/{self.switch.endpoint_name}/variant/{self.production_variant}"
        (target,) = self.autoscaling.describe_scalable_targets(
            ServiceNamespace="sagemaker", ResourceIds=[name]
        )["ScalableTargets"]
        least = target["MinCapacity"]
        (variant,) = described["ProductionVariants"]
        if variant["CurrentInstanceCount"] <= least:
            return
        self.switch.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=self.switch.endpoint_name,
            DesiredWeightsAndCapacities=[
                {"VariantName": self.production_variant, "DesiredInstanceCount": least}
            ],
        )
        self.switch.tell(
            "Endpoint Scaled In",
            {
                "endpoint": self.switch.endpoint_name,
                "instances": str(least),
                "why": f"no request for {self.idle_h:g} h",
            },
        )
