"""The metrics that SQS publishes of a queue, which MiniStack doesn't.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import sqs

from local_cloud.ministack.identity import repeat_in_account
from local_cloud.ministack.telemetry import Metric, put_metrics
from local_cloud.settings import CloudSettings

EVERY_S = 60
COUNTS = {"Visible": "", "NotVisible": "NotVisible", "Delayed": "Delayed"}
"""The ends of a metric's name and of its attribute's."""


class QueueMetrics:
    """Of queues that have messages, or had some a minute ago: as on AWS, of those in use."""

    def __init__(self, settings: CloudSettings) -> None:
        self._settings = settings
        self._in_use: set[str] = set()
        self._received: Counter[str] = Counter()

    def start(self) -> Callable[[], None]:
        """Publish from now on, on a thread; what is given ends it. Once, before anything is
        served."""
        sqs._collect_msgs = self._counting(sqs._collect_msgs)
        every_s = EVERY_S * self._settings.time_scale
        return repeat_in_account(self._settings, self._publish, every_s, "queue-metrics")

    def _publish(self) -> None:
        queues = {queue["name"]: queue for queue in list(sqs._queues.values())}
        with_messages = {name for name, queue in queues.items() if queue["messages"]}
        received, self._received = self._received, Counter()
        for name in queues.keys() & (with_messages | self._in_use | received.keys()):
            count = Metric("NumberOfMessagesReceived", float(received[name]), "Count")
            metrics = [*metrics_of(queues[name]), count]
            put_metrics("AWS/SQS", {"QueueName": name}, metrics)
        self._in_use = with_messages

    def _counting(self, collect: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        def wrapped(queue: Mapping[str, Any], *rest: Any) -> list[Any]:
            messages = collect(queue, *rest)
            self._received[queue["name"]] += len(messages)
            return messages

        return wrapped


def metrics_of(queue: dict[str, Any]) -> list[Metric]:
    sqs._refresh_counts(queue)
    now, counted = time.time(), "ApproximateNumberOfMessages"
    oldest = min((message["sent_at"] for message in list(queue["messages"])), default=now)
    return [
        *(
            Metric(counted + kind, float(queue["attributes"][counted + attribute]), "Count")
            for kind, attribute in COUNTS.items()
        ),
        Metric("ApproximateAgeOfOldestMessage", now - oldest, "Seconds"),
    ]
