"""What every engine does once a unit has its result, and before it begins one."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batches.records import IN_PROGRESS, Batch
from batches.store import Store
from batches.tasks import Tasks
from sd_contract.batch import Unit, UnitResult


@dataclass(frozen=True)
class Settling:
    store: Store
    tasks: Tasks
    log: Callable[[dict[str, Any]], None]
    now: Callable[[], float] = time.time

    def goes_on(self, batch: Batch) -> bool:
        """Whether another of its units may be begun. A batch out of time is told to stop."""
        if batch.status != IN_PROGRESS:
            return False
        if self.now() > batch.deadline:
            self.tasks.ask("stop", batch.id)
            return False
        return True

    def settle(self, batch: Batch, unit: Unit, result: UnitResult) -> None:
        """Once a unit, however often it is called for it. The result is in the bucket."""
        counted = self.store.count(batch, unit, result)
        self.log(
            {
                "event": "unit",
                "batch": batch.id,
                "unit": unit.name,
                "error": result.error and result.error["code"],
                "counted": counted,
                "instance_ms": round(result.instance_ms, 1),
            }
        )
        # Also where it was counted before: whoever did may have got no further.
        after = self.store.batch(batch.id)
        if after.all_counted and not after.closed:
            self.tasks.ask("finish", batch.id)
