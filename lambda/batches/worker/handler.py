"""Lambda's entry: an SQS event of the units' queue, or of its dead letters."""

import functools
import os
from typing import Any

from botocore.session import get_session

from batches.config import Config
from batches.engines import Engines, say
from batches.worker.work import Work


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return _work().handle(event)


@functools.cache
def _work() -> Work:
    return Work(Engines(Config.from_env(os.environ), get_session(), say))
