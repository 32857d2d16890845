"""What EventBridge tells a queue of a local cloud."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from local_cloud.child import ChildCloud
from tests.fakes.local_account import allow, arn, policy, wait_for


class HeardEvents:
    def __init__(self, cloud: ChildCloud, name: str, pattern: Mapping[str, Any]) -> None:
        """From now on; `name` is the rule's and the queue's."""
        self._sqs, events = cloud.client("sqs"), cloud.client("events")
        self._queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        self._heard: list[dict[str, Any]] = []
        queue_arn = arn("sqs", name)
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        sends = allow("sqs:SendMessage", queue_arn) | {
            "Principal": {"Service": "events.amazonaws.com"},
            "Condition": {"ArnEquals": {"aws:SourceArn": arn("events", f"rule/{name}")}},
        }
        self._sqs.set_queue_attributes(QueueUrl=self._queue, Attributes={"Policy": policy(sends)})
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": queue_arn}])

    def first(self, count: int) -> list[dict[str, Any]]:
        """Waits until there are as many."""

        def come() -> bool:
            answer = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                self._heard.append(json.loads(message["Body"]))
                self._sqs.delete_message(
                    QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"]
                )
            return len(self._heard) >= count

        wait_for(come)
        return self._heard
