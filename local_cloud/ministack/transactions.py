"""DynamoDB's transactions that meet others' at an item, which MiniStack's never do."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

from ministack.services import dynamodb

from local_cloud.ministack.answers import Response
from local_cloud.settings import CloudSettings

CANCELLED = "TransactionCanceledException"


def correct_transactions(settings: CloudSettings) -> None:
    """While there is a fault "transaction-conflict", every second transaction is refused for one
    with another. Once, before anything is served.

    The last of its items is the one (API reference, TransactWriteItems: cancellation reasons).
    """
    write, number = dynamodb._transact_write_items, itertools.count()

    def wrapped(request: Mapping[str, Any]) -> Response:
        if settings.fault("transaction-conflict") is None or next(number) % 2:
            written: Response = write(request)
            return written
        reasons: list[dict[str, str]] = [{"Code": "None"} for _ in request["TransactItems"]]
        message = "Transaction is ongoing for the item"
        reasons[-1] = {"Code": "TransactionConflict", "Message": message}
        said = ", ".join(reason["Code"] for reason in reasons)
        document = {
            "__type": CANCELLED,
            "Message": "Transaction cancelled, please refer cancellation reasons for specific "
            f"reasons [{said}]",
            "CancellationReasons": reasons,
        }
        headers = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-errortype": CANCELLED}
        return 400, headers, json.dumps(document).encode()

    dynamodb._transact_write_items = wrapped
