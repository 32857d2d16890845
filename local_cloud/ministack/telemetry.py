"""What services write for the account: log lines, metrics, events."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ministack.services import cloudwatch, cloudwatch_logs, eventbridge

from local_cloud.ministack.identity import RoleSession, allowed, enter_account
from local_cloud.settings import CloudSettings

# How often a high-resolution metric has a data point.
HIGH_RESOLUTION_S = 10


class LogStream:
    """Lines into one CloudWatch Logs stream, made on first use.

    With `role` a service writes under a role of the account's: a group that isn't there is made if
    the role may make it, and what the role may not write is lost, as on AWS.
    """

    def __init__(
        self, settings: CloudSettings, group: str, stream: str, role: RoleSession | None = None
    ) -> None:
        self.group, self.stream = group, stream
        self._settings, self._role = settings, role
        self._made = False

    def write(self, line: str) -> None:
        """Append a line, stamped now. From any thread."""
        enter_account(self._settings)
        if not self._made or self.group not in cloudwatch_logs._log_groups:
            self._made = self._make()
        if self._made:
            # CloudWatch refuses empty messages.
            event = {"timestamp": int(time.time() * 1000), "message": line or " "}
            cloudwatch_logs._put_log_events(
                {
                    "logGroupName": self.group,
                    "logStreamName": self.stream,
                    "logEvents": [event],
                }
            )

    def _make(self) -> bool:
        """Whether there is a stream to write to."""
        stream = f"log-stream:{self.stream}"
        if self.group not in cloudwatch_logs._log_groups:
            if not self._may("CreateLogGroup", "log-stream:"):
                return False
            cloudwatch_logs._create_log_group({"logGroupName": self.group})
        if not (self._may("CreateLogStream", stream) and self._may("PutLogEvents", stream)):
            return False
        cloudwatch_logs._create_log_stream(
            {"logGroupName": self.group, "logStreamName": self.stream}
        )
        return True

    def _may(self, action: str, stream: str) -> bool:
        arn = self._settings.arn("logs", f"log-group:{self.group}:{stream}")
        return self._role is None or allowed(
            self._settings, self._role.access_key, f"logs:{action}", arn
        )


@dataclass(frozen=True)
class Metric:
    name: str
    value: float
    unit: str


def put_metrics(
    namespace: str,
    dimensions: Mapping[str, str],
    metrics: Sequence[Metric],
    kept_s: float | None = None,
) -> None:
    """Store data points as the service itself does (AWS/* is closed to PutMetricData callers), and
    forget those of the same series that are older than `kept_s`."""
    for metric in metrics:
        cloudwatch._store_datum(
            namespace,
            metric.name,
            dict(dimensions),
            time.time(),
            metric.unit,
            metric.value,
            None,
            None,
            None,
        )
        if kept_s is not None:
            series = cloudwatch._dims_key(dict(dimensions))
            points = cloudwatch._metrics[(namespace, metric.name, series)]
            while points[0]["Timestamp"] < time.time() - kept_s:
                del points[0]


def put_event(source: str, detail_type: str, detail: Mapping[str, Any], resource: str) -> None:
    """Publish a service event on the default bus."""
    eventbridge._put_events(
        {
            "Entries": [
                {
                    "Source": source,
                    "DetailType": detail_type,
                    "Detail": json.dumps(detail),
                    "Resources": [resource],
                }
            ]
        },
        allow_aws_source=True,
    )
