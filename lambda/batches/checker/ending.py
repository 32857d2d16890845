"""A batch's end is told to EventBridge, and through it to whoever wants to know."""

import json
from dataclasses import dataclass
from typing import Any

from batches.records import ENDS, Batch
from batches.store import Store

DETAIL_TYPE = "Batch State Change"


@dataclass(frozen=True)
class Ending:
    """`events` is botocore's client of EventBridge, whose errors pass through."""

    store: Store
    events: Any
    source: str

    def tell(self, batch: Batch) -> None:
        """Of a batch that has ended; at least once. Raises RuntimeError if EventBridge refuses."""
        if batch.told:
            return
        answer = self.events.put_events(
            Entries=[
                {
                    "Source": self.source,
                    "DetailType": DETAIL_TYPE,
                    "Detail": json.dumps(batch.public()),
                }
            ]
        )
        if answer["FailedEntryCount"]:
            raise RuntimeError(f"{batch.id}: {answer['Entries']}")
        self.store.change(batch.id, ENDS, told=True)
