"""Lambda's entry: an SQS event of the units' queue, or of its dead letters."""

from typing import Any

from batches.engines import engines
from batches.worker.work import Work


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return Work(engines()).handle(event)
