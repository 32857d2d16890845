"""Lambda's entry: what an asynchronous endpoint's topics tell."""

import functools
import os
from typing import Any

from botocore.session import get_session

from batches.asynchronous import Ended
from batches.config import Config
from batches.engines import Engines, say


def handler(event: dict[str, Any], _context: object) -> None:
    """Raises whatever goes wrong: SNS and Lambda then call again."""
    for record in event["Records"]:
        ended = Ended.read(record["Sns"]["Message"])
        if ended.output is None:
            say({"event": "request_failed", "input": ended.input, "reason": ended.reason})
        _engines().asynchronous.answered(ended)


@functools.cache
def _engines() -> Engines:
    return Engines(Config.from_env(os.environ), get_session(), say)
