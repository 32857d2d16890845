"""An engine, as the checker sees it: it gets a batch whose work lies in the bucket, and draws."""

from typing import Protocol

from batches.records import Batch


class Runner(Protocol):
    """For each unit of the work (sd_contract.batch) that has no result yet it writes picture and
    result; each is counted (Store.count) but by the bulk engine, whose are counted in the end.
    Whoever sees that all of a batch is counted, or that its job has ended, asks for `finish`
    (Tasks); whoever meets a batch past its deadline, for `stop`."""

    def start(self, batch: Batch) -> None:
        """Of a batch IN_PROGRESS. May be called twice, where a call before failed."""

    def stop(self, batch: Batch) -> float | None:
        """Of a batch CANCELLING or FINALIZING: nothing more is begun. In so many seconds what is
        at hand is done; None: the engine will ask for `finish` itself."""
