"""The alarms of an endpoint: that it fails, is slow, says nothing, or is about to be full.

Names and dimensions of the metrics: SageMaker's developer guide, monitoring-cloudwatch; those of an
asynchronous endpoint's queue, async-inference-monitor. What an instance measures of itself is in
percent, of a GPU's memory a hundred for each GPU; of Neuron's memory it measures nothing.
"""

from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from sd_contract.limits import GATEWAY_S
from stacks.components.alarms import Alarm, Metric, Trouble
from stacks.components.rollout import usual_s
from stacks.components.sagemaker_model import PRODUCTION_VARIANT
from stacks.settings import VariantSettings
from stacks.settings.variant import GPU_AMIS

INVOCATIONS, INSTANCES = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
# Percent. Memory is lost at once when it is full; a disk fills slowly, by logs and pictures.
FULL = {"GPUMemoryUtilization": 97, "MemoryUtilization": 90, "DiskUtilization": 85}
# Of an asynchronous request's wait, beside the longest start of an instance.
BACKLOG_S = 3600
PERIOD_S = 300
# Instances measure once a minute; a quarter of an hour is no late data point.
SILENT_MIN = 15


class EndpointAlarms(Construct):
    """Of a real-time endpoint, but for those that send an update back, which are its own
    (rollout.py)."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        variant: VariantSettings,
        endpoint: sagemaker.CfnEndpoint,
        slow_factor: float,
    ) -> None:
        super().__init__(scope, id)
        _failing(self, variant, variant.endpoint_name, variant.container_logs[0])
        _full(self, variant, variant.endpoint_name)
        Alarm(
            self,
            "Slow",
            names=variant.names,
            trouble=Trouble(
                f"{variant.endpoint_name}: one answer in ten takes much longer than usual",
                (
                    "See whether there are more requests than instances for them, or larger ones "
                    f"than {variant.modes.standard.steps} steps (metrics of the namespace "
                    f"{variant.names.prefix}: pictures, steps_run)",
                    "Compare the stages' times with those before: one that has grown says where",
                    "More load: raise scaling.max_instances. A change: deploy what was before it. "
                    "Larger requests: raise sd.alarms.slow_factor",
                ),
            ),
            # Microseconds.
            metric=endpoint_metric(INVOCATIONS, "ModelLatency", variant.endpoint_name, "p90"),
            threshold=round(slow_after_s(variant, slow_factor) * 1e6),
            period_s=PERIOD_S,
            periods=3,
        )
        # What stops by itself may be silent.
        if variant.scaling.on or not variant.guarded:
            self._silent(variant, endpoint)

    def _silent(self, variant: VariantSettings, endpoint: sagemaker.CfnEndpoint) -> None:
        silent = Alarm(
            self,
            "Silent",
            names=variant.names,
            trouble=Trouble(
                f"{variant.endpoint_name}: none of its instances has been heard of for "
                f"{SILENT_MIN} minutes",
                (
                    "aws sagemaker describe-endpoint --endpoint-name "
                    f"{variant.endpoint_name}: its status and FailureReason",
                    f"Read the end of its container's log, {variant.container_logs[0]}",
                    "If it was deleted or stopped by hand, deploy its stack again; if it has "
                    "failed, mend what the log says and deploy",
                ),
            ),
            metric=endpoint_metric(
                INSTANCES, "MemoryUtilization", variant.endpoint_name, "SampleCount"
            ),
            threshold=1,
            periods=SILENT_MIN,
            comparison="LessThanThreshold",
            missing="breaching",
        )
        # While it is being made there are none.
        silent.node.add_dependency(endpoint)


class AsyncEndpointAlarms(Construct):
    """It may have no instance, so its silence says nothing."""

    def __init__(self, scope: Construct, id: str, *, variant: VariantSettings) -> None:
        super().__init__(scope, id)
        name = variant.async_endpoint_name
        log = variant.names.async_container_log(variant.name)
        _failing(self, variant, name, log)
        _full(self, variant, name)
        longest = variant.download_timeout_s + variant.startup_timeout_s + BACKLOG_S
        Alarm(
            self,
            "Backlog",
            names=variant.names,
            trouble=Trouble(
                f"{name}: a picture has been waiting for {longest / 60:.0f} minutes",
                (
                    f"aws sagemaker describe-endpoint --endpoint-name {name}: whether it has an "
                    "instance, or why not (no capacity, a quota)",
                    f"With instances: read their log, {log}",
                    "If they only have too much to do, raise async.max_instances, or send batches "
                    'with metadata {"engine": "bulk"}',
                ),
            ),
            metric=Metric(
                INVOCATIONS, "ApproximateAgeOfOldestRequest", {"EndpointName": name}, "Maximum"
            ),
            threshold=longest,
            period_s=PERIOD_S,
            periods=2,
        )


def slow_after_s(variant: VariantSettings, factor: float) -> float:
    """At most what a caller waits for."""
    return min(factor * usual_s(variant), float(GATEWAY_S))


def _failing(scope: Construct, variant: VariantSettings, endpoint: str, log: str) -> None:
    Alarm(
        scope,
        "Failing",
        names=variant.names,
        trouble=Trouble(
            f"{endpoint}: requests fail in the container",
            (
                f"Read its log, {log}: the traceback is in the line with the request's id",
                "If an update came before it, deploy what was before",
                "If CUDA or Neuron errors repeat, the instance is broken: any change of the "
                "configuration (scaling.min_instances, say) makes a new fleet",
            ),
        ),
        metric=endpoint_metric(INVOCATIONS, "Invocation5XXErrors", endpoint, "Sum"),
        threshold=3,
        periods=2,
    )


def _full(scope: Construct, variant: VariantSettings, endpoint: str) -> None:
    """An instance's memory, its accelerator's, and its disk."""
    troubles = {
        "GPUMemoryUtilization": Trouble(
            f"{endpoint}: the GPU's memory is nearly full",
            (
                "See which sizes and n were asked for meanwhile (front door's log: size, n)",
                "Offer fewer sizes, or a smaller max_batch_size, for djl max_unet_rows as well",
                "If it grows by itself, the container leaks: deploy what was before, and look at "
                "its log for out of memory",
            ),
        ),
        "MemoryUtilization": Trouble(
            f"{endpoint}: the instance's memory is nearly full",
            (
                "See whether it has grown slowly (a leak) or at once (larger edits, more requests)",
                "A leak: deploy again with any change of the configuration, which makes a new "
                "fleet, and look for what was changed last",
                "Else: an instance_type of the next size has twice the memory",
            ),
        ),
        "DiskUtilization": Trouble(
            f"{endpoint}: the instance's disk is nearly full",
            (
                "See whether it grows: the model is loaded once, so it should not",
                "If it grows, any change of the configuration makes a new fleet with an empty "
                "disk; look into the container's log for what is written",
                "If it was full from the start, the model is too large for the instance's "
                "volume: a larger instance_type has a larger one",
            ),
        ),
    }
    for name, trouble in troubles.items():
        if name.startswith("GPU") and variant.ami not in GPU_AMIS:
            continue
        Alarm(
            scope,
            f"{name.removesuffix('Utilization')}Full",
            names=variant.names,
            trouble=trouble,
            metric=endpoint_metric(INSTANCES, name, endpoint, "Maximum"),
            threshold=FULL[name],
            period_s=PERIOD_S,
            periods=2,
        )


def endpoint_metric(namespace: str, name: str, endpoint: str, statistic: str) -> Metric:
    """One with the dimensions of an endpoint's variant."""
    dimensions = {"EndpointName": endpoint, "VariantName": PRODUCTION_VARIANT}
    return Metric(namespace, name, dimensions, statistic)
