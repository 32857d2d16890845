"""Tries again where the network, the hub or a damaged file got in the way."""

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
    """What `do` gives, after waits of 2, 4, 8 and 16 s or what a Retry-After asks for.

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
            wait, asked = 2.0**attempt, _retry_after(error)
            note = ""
            if asked is not None:
                wait = min(asked, MAX_WAIT_S)
                note = f", as asked ({asked:g} s)" if asked > wait else ", as asked"
            say(f"{what}: {error}; once more in {wait:g} s{note}")
            pause(wait)
    return do()


def _retry_after(error: Exception) -> float | None:
    """In seconds; a date, which the header may have as well, is passed over."""
    value = error.headers.get("Retry-After", "") if isinstance(error, HTTPError) else ""
    return float(value) if value.isdecimal() else None
