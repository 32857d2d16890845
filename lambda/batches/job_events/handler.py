"""Lambda's entry: EventBridge's "SageMaker Training Job State Change"."""

from typing import Any

from batches.engines import engines


def handler(event: dict[str, Any], _context: object) -> None:
    """Raises whatever goes wrong: EventBridge and Lambda then call again."""
    engines().bulk.ended(event["detail"]["TrainingJobName"])
