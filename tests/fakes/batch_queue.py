"""An SQS FIFO queue with its dead letters, as boto3's client and Lambda's event source show it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

URL = "https://sqs.us-east-1.amazonaws.com/111122223333/units.fifo"
ARN = "arn:aws:sqs:us-east-1:111122223333:units.fifo"
DEAD_ARN = "arn:aws:sqs:us-east-1:111122223333:dead-units.fifo"
DEDUPLICATION_S = 300.0


class Killed(BaseException):
    """As a function's process ends: nothing of it catches this."""


@dataclass
class _Message:
    id: str
    body: str
    group: str
    visible_at: float
    receives: int = 0
    source: str = ARN


@dataclass
class FakeFifo:
    """Time passes by `now` alone, which goes on to the next message's when all of them wait."""

    now: float
    visibility_s: float = 390
    max_receives: int = 20
    messages: list[_Message] = field(default_factory=list)
    delays_s: list[int] = field(default_factory=list)
    sent: int = 0
    _ids: dict[str, float] = field(default_factory=dict)

    def clock(self) -> float:
        return self.now

    def send_message_batch(
        self, *, QueueUrl: str, Entries: list[Mapping[str, Any]]
    ) -> dict[str, Any]:
        assert QueueUrl == URL
        assert 1 <= len(Entries) <= 10
        assert sum(len(each["MessageBody"].encode()) for each in Entries) <= 262_144
        for entry in Entries:
            assert len(entry["MessageGroupId"]) <= 128
            assert len(entry["MessageDeduplicationId"]) <= 128
            last = self._ids.get(entry["MessageDeduplicationId"])
            if last is None or self.now - last > DEDUPLICATION_S:
                self._ids[entry["MessageDeduplicationId"]] = self.now
                self.sent += 1
                message = _Message(
                    f"m{self.sent}", entry["MessageBody"], entry["MessageGroupId"], self.now
                )
                self.messages.append(message)
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def change_message_visibility(
        self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int
    ) -> None:
        assert QueueUrl == URL
        assert 0 <= VisibilityTimeout <= 43_200
        self.delays_s.append(VisibilityTimeout)
        [message] = [each for each in self.messages if each.id == ReceiptHandle]
        message.visible_at = self.now + VisibilityTimeout

    def deliver(self, handle: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> bool:
        """One message, of the group whose turn it is; False: there is none any more."""
        message = self._next()
        if message is None:
            return False
        message.receives += 1
        if message.source == ARN and message.receives > self.max_receives:
            message.source, message.receives = DEAD_ARN, 1
        message.visible_at = self.now + self.visibility_s
        record = {
            "messageId": message.id,
            "receiptHandle": message.id,
            "body": message.body,
            "attributes": {"ApproximateReceiveCount": str(message.receives)},
            "eventSourceARN": message.source,
        }
        try:
            answer = handle({"Records": [record]})
        except Killed:
            return True
        if not answer["batchItemFailures"]:
            self.messages.remove(message)
        return True

    def drain(self, handle: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        while self.deliver(handle):
            pass

    def _next(self) -> _Message | None:
        heads: dict[str, _Message] = {}
        for message in self.messages:
            heads.setdefault(message.group, message)
        if not heads:
            return None
        first = min(heads.values(), key=lambda each: each.visible_at)
        self.now = max(self.now, first.visible_at)
        return first
