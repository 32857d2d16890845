"""Tries again where the network, the hub or a damaged file got in the way."""

import re
from collections.abc import Callable
from http.client import HTTPException
from typing import TypeVar
from urllib.error import HTTPError

T = TypeVar("T")

ATTEMPTS = 5
# The hub counts requests in windows of five minutes (huggingface.co/docs/hub/rate-limits).
MAX_WAIT_S = 300.0


class TransferError(Exception):
    """A file that didn't arrive as announced."""


TRANSIENT = (OSError, HTTPException, TransferError)


def retry(
    what: str, do: Callable[[], T], say: Callable[[str], None], pause: Callable[[float], None]
) -> T:
    """What `do` gives, after waits of 2, 4, 8 and 16 s or what the answer asks for.

    Raises `do`'s own error when it has failed ATTEMPTS times, or at once where the answer would be
    the same again (an HTTP status such as 404), and those that aren't TRANSIENT.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return do()
        except TRANSIENT as error:
            if isinstance(error, HTTPError):
                if error.code not in (408, 429) and error.code < 500:
                    raise
                error.close()
            wait, asked = 2.0**attempt, _asked_for(error)
            note = ""
            if asked is not None:
                wait = min(asked, MAX_WAIT_S)
                note = f", as asked ({asked:g} s)" if asked > wait else ", as asked"
            say(f"{what}: {error}; once more in {wait:g} s{note}")
            pause(wait)
    return do()


def _asked_for(error: Exception) -> float | None:
    """In seconds: by Retry-After (a date, which it may have as well, is passed over), or by the
    hub's `RateLimit: "api";r=0;t=55`, plus a second (as huggingface_hub does, utils/_http.py)."""
    if not isinstance(error, HTTPError):
        return None
    value = error.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    limit = re.search(r";\s*t=(\d+)", error.headers.get("RateLimit", ""))
    return float(limit[1]) + 1 if limit and error.code == 429 else None
