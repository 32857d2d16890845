"""What the worker is told, one message at a time.

Messages of a group come one after the other: while one is worked on, or has come back to be tried
later, the next waits. What is sent twice within five minutes comes once (SQS developer guide,
FIFO queues); whatever else comes twice finds itself done.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sd_contract.batch import Unit

# SQS's, of a SendMessageBatch. Ten units take 246 KB at most, in which every character of both
# prompts is escaped twice over; a quarter of a megabyte is what SQS takes.
_AT_ONCE = 10


@dataclass(frozen=True)
class Part:
    """Hand this part of a batch's work out. Parts follow each other, so that two batches take
    turns, and a cancelled one leaves little behind."""

    batch_id: str
    part: int

    @property
    def id(self) -> str:
        return f"{self.batch_id}-part-{self.part}"

    @property
    def group(self) -> str:
        return f"{self.batch_id}-parts"


@dataclass(frozen=True)
class Draw:
    """One unit, of a part. After it `next_part`, if any, is to be handed out."""

    batch_id: str
    unit: Unit
    part: int
    next_part: int | None
    group: str
    tries: int = 0
    """Of an asynchronous endpoint, before this one."""

    @property
    def id(self) -> str:
        return f"{self.batch_id}-{self.unit.name}-{self.tries}"


@dataclass(frozen=True)
class Launch:
    """Start the batch's bulk job, which is this try."""

    batch_id: str
    variant: str
    tries: int

    @property
    def id(self) -> str:
        return f"{self.batch_id}-launch-{self.tries}"

    @property
    def group(self) -> str:
        return f"{self.variant}-bulk"


Message = Part | Draw | Launch
_KINDS: Mapping[str, type[Message]] = {kind.__name__: kind for kind in (Part, Draw, Launch)}


@dataclass(frozen=True)
class BatchQueue:
    """`sqs` is botocore's client, whose errors pass through."""

    sqs: Any
    url: str

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    def send(self, messages: Iterable[Message], again: str = "") -> None:
        """`again` tells what was sent before from what it says once more."""
        waiting = iter(messages)
        while some := list(islice(waiting, _AT_ONCE)):
            self._send(some, again)

    def later(self, receipt: str, delay_s: int) -> None:
        """The message, and with it its group, comes back after that time."""
        self.sqs.change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=receipt, VisibilityTimeout=delay_s
        )

    def _send(self, messages: Sequence[Message], again: str) -> None:
        entries = [
            {
                "Id": str(number),
                "MessageBody": to_json(message),
                "MessageGroupId": message.group,
                "MessageDeduplicationId": f"{message.id}{again}",
            }
            for number, message in enumerate(messages)
        ]
        answer = self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
        if refused := answer.get("Failed"):
            raise OSError(f"{self.name}: {refused[0]['Code']}: {refused[0].get('Message')}")


def to_json(message: Message) -> str:
    document = dict(vars(message))
    if isinstance(message, Draw):
        document["unit"] = vars(message.unit)
    return json.dumps({"kind": type(message).__name__, **document})


def from_json(text: str) -> Message:
    document = json.loads(text)
    kind = _KINDS[document.pop("kind")]
    if kind is Draw:
        document["unit"] = Unit(**document["unit"])
    return kind(**document)
