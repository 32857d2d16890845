"""HTTP PUT to the presigned URLs on which CloudFormation waits for answers."""

import json
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

# Takes (url, document); raises OSError where it can't be delivered.
Put = Callable[[str, Mapping[str, Any]], None]

ATTEMPTS = 3
# CloudFormation reads no more of an answer than 4096 bytes; the reason is the one long part. A
# character takes three of UTF-8, where JSON's escapes take six: builds draw bars and boxes.
MAX_REASON = 1000


def put_json(url: str, document: Mapping[str, Any]) -> None:
    # The presigned URLs are signed with an empty content type; urllib would send its own.
    body = json.dumps(document, ensure_ascii=False).encode(errors="replace")
    request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(request, timeout=20):
                return
        except OSError:  # URLError and HTTPError are
            if attempt == ATTEMPTS:
                raise


def shortened(reason: str) -> str:
    return reason if len(reason) <= MAX_REASON else f"{reason[: MAX_REASON - 1]}…"
