"""Lambda's entry: EventBridge's "SageMaker Training Job State Change"."""

import functools
import os
from typing import Any

from botocore.session import get_session

from batches.config import Config
from batches.engines import Engines, say


def handler(event: dict[str, Any], _context: object) -> None:
    """Raises whatever goes wrong: EventBridge and Lambda then call again."""
    _engines().bulk.ended(event["detail"]["TrainingJobName"])


@functools.cache
def _engines() -> Engines:
    return Engines(Config.from_env(os.environ), get_session(), say)
