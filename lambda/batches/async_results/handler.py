"""Lambda's entry: what an asynchronous endpoint's topics tell."""

from typing import Any

from batches.asynchronous import Ended
from batches.engines import engines, say


def handler(event: dict[str, Any], _context: object) -> None:
    """Raises whatever goes wrong: SNS and Lambda then call again."""
    for record in event["Records"]:
        ended = Ended.read(record["Sns"]["Message"])
        if ended.output is None:
            say({"event": "request_failed", "input": ended.input, "reason": ended.reason})
        engines().asynchronous.answered(ended)
