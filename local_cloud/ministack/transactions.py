"""DynamoDB's transactions that meet others' at an item, which MiniStack's never do."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

from ministack.services import dynamodb

from local_cloud.api_shapes import BadRequest
from local_cloud.ministack.answers import Response, refusal
from local_cloud.settings import CloudSettings

CANCELLED = "TransactionCanceledException"
ONGOING = "Transaction is ongoing for the item"


def correct_transactions(settings: CloudSettings) -> None:
    """While there is a fault "transaction-conflict", every second transaction is refused for one
    with another, and so is the next update of the item where they met. Once, before anything is
    served.

    The last of its items is the one (API reference, TransactWriteItems: cancellation reasons, and
    what it says of UpdateItem).
    """
    write, number = dynamodb._transact_write_items, itertools.count()
    update, met = dynamodb._update_item, list[Mapping[str, Any]]()

    def wrapped(request: Mapping[str, Any]) -> Response:
        if settings.fault("transaction-conflict") is None or next(number) % 2:
            written: Response = write(request)
            return written
        reasons: list[dict[str, str]] = [{"Code": "None"} for _ in request["TransactItems"]]
        reasons[-1] = {"Code": "TransactionConflict", "Message": ONGOING}
        ((_, last),) = request["TransactItems"][-1].items()
        met.append({"TableName": last["TableName"], "Key": last.get("Key")})
        said = ", ".join(reason["Code"] for reason in reasons)
        document = {
            "__type": CANCELLED,
            "Message": "Transaction cancelled, please refer cancellation reasons for specific "
            f"reasons [{said}]",
            "CancellationReasons": reasons,
        }
        headers = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-errortype": CANCELLED}
        return 400, headers, json.dumps(document).encode()

    def wrapped_update(request: Mapping[str, Any]) -> Response:
        item = {"TableName": request["TableName"], "Key": request["Key"]}
        if item in met:
            met.remove(item)
            return refusal(BadRequest("TransactionConflictException", ONGOING))
        updated: Response = update(request)
        return updated

    dynamodb._transact_write_items = wrapped
    dynamodb._update_item = wrapped_update
