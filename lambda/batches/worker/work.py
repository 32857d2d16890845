"""From an SQS event to what is done, and what comes back later."""

import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from batches.asynchronous import Asynchronous
from batches.engines import Engines
from batches.queue import Draw, Launch, Message, Part, from_json
from batches.real_time import Later, NotYet, RealTime
from batches.records import Batch
from batches.store import NotThere
from front_door.errors import FrontDoorError
from sd_contract.registration import ASYNC

LONGEST_S = 900
"""Until a message comes back; the first time after FIRST_S, then after twice as long each time."""
FIRST_S = 5


@dataclass(frozen=True)
class Work:
    engines: Engines

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """SQS's partial answer: what isn't done comes back, and what follows it in its group with
        it."""
        records = event["Records"]
        for number, record in enumerate(records):
            try:
                self._one(record)
            except Exception as error:  # noqa: BLE001 - it comes back, and in the end as a dead letter
                self._later(record, error)
                failed = [{"itemIdentifier": each["messageId"]} for each in records[number:]]
                return {"batchItemFailures": failed}
        return {"batchItemFailures": []}

    def _one(self, record: Mapping[str, Any]) -> None:
        """Raises Later, and whatever went wrong."""
        message = from_json(record["body"])
        try:
            batch = self.engines.store.batch(message.batch_id)
        except NotThere:
            return
        if self._is_dead(record):
            self._dead(message, batch, record["messageId"])
        else:
            self._do(message, batch, _receives(record))

    def _do(self, message: Message, batch: Batch, receives: int) -> None:
        engine = self._engine(batch)
        if isinstance(message, Launch):
            self.engines.bulk.launch(batch, message)
        elif isinstance(message, Part):
            if engine.settling.goes_on(batch):
                engine.hand_out(batch, message.part)
        elif isinstance(engine, RealTime):
            engine.draw(batch, message, receives)
        else:
            engine.draw(batch, message)
        self._hand_out_next(message)

    def _dead(self, message: Message, batch: Batch, message_id: str) -> None:
        """It has come back as often as the queue lets it: a unit counts as failed; what many units
        wait for is said again, as long as their batch goes on."""
        self.engines.log({"event": "dead_letter", "batch": batch.id, "message": message.id})
        engine = self._engine(batch)
        if isinstance(message, Draw):
            engine.give_up(batch, message)
            self._hand_out_next(message)
        elif engine.settling.goes_on(batch):
            self.engines.queue.send([message], again=f"-{message_id}")

    def _hand_out_next(self, message: Message) -> None:
        if isinstance(message, Draw) and message.next_part is not None:
            self.engines.queue.send([Part(message.batch_id, message.next_part)])

    def _engine(self, batch: Batch) -> RealTime | Asynchronous:
        return self.engines.asynchronous if batch.engine == ASYNC else self.engines.real_time

    def _later(self, record: Mapping[str, Any], error: Exception) -> None:
        if isinstance(error, NotYet):
            self.engines.queue.later(record["receiptHandle"], math.ceil(error.delay_s))
            return
        # Another's text may quote a prompt; these don't.
        told = isinstance(
            error, Later | FrontDoorError | ClientError | ConnectionError | HTTPClientError
        )
        where = "".join(traceback.format_tb(error.__traceback__))[-8000:]
        delay_s = min(LONGEST_S, FIRST_S * 2 ** (_receives(record) - 1))
        self.engines.log(
            {
                "event": "comes_back",
                "message_id": record["messageId"],
                "in_s": delay_s,
                "error": type(error).__name__,
                "detail": str(error) if told else where,
            }
        )
        if not self._is_dead(record):
            self.engines.queue.later(record["receiptHandle"], delay_s)

    def _is_dead(self, record: Mapping[str, Any]) -> bool:
        return bool(record["eventSourceARN"].rsplit(":", 1)[-1] != self.engines.queue.name)


def _receives(record: Mapping[str, Any]) -> int:
    return int(record["attributes"]["ApproximateReceiveCount"])
