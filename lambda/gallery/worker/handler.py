"""Lambda's entry: an SQS event of the front door's messages."""

import functools
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from front_door.errors import FrontDoorError
from gallery.keeping import Gallery
from gallery.services import Say, build, say
from sd_contract.gallery import Drawn
from sd_contract.limits import INVOCATION_S


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return work(event, gallery, say)


@functools.cache
def gallery() -> Gallery:
    # As long as SageMaker waits for a container that has pictures to draw first.
    return build(INVOCATION_S)


def work(event: Mapping[str, Any], gallery: Callable[[], Gallery], say: Say) -> dict[str, Any]:
    """SQS's partial answer: what isn't done comes back, and in the end is a dead letter."""
    failed = []
    for record in event["Records"]:
        told = {"event": "kept", "message_id": record["messageId"]}
        try:
            drawn = Drawn.from_json(record["body"])
            told["model"], told["pictures"] = drawn.model, [each.id for each in drawn.pictures]
            gallery().keep(drawn, record["messageId"])
        except Exception as error:  # noqa: BLE001 - it comes back
            told |= {"event": "comes_back", **explained(error)}
            failed.append({"itemIdentifier": record["messageId"]})
        say(told)
    return {"batchItemFailures": failed}


def explained(error: Exception) -> dict[str, str]:
    """For the log. Another's text may quote a prompt; these don't."""
    known = FrontDoorError | ClientError | ConnectionError | HTTPClientError
    where = "".join(traceback.format_tb(error.__traceback__))[-8000:]
    return {
        "error": type(error).__name__,
        "detail": str(error) if isinstance(error, known) else where,
    }
