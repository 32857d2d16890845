"""Lambda's entry: an event of the table's stream. What a row that is gone leaves behind goes."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from gallery.keeping import Gallery
from gallery.rows import removed
from gallery.services import build
from sd_contract.limits import INVOCATION_S


def handler(event: dict[str, Any], _context: object) -> None:
    remove(event, gallery)


@functools.cache
def gallery() -> Gallery:
    return build(INVOCATION_S)


def remove(event: Mapping[str, Any], gallery: Callable[[], Gallery]) -> None:
    """As often as it is called; raises whatever AWS's clients do, and comes again then."""
    for picture in removed(event):
        gallery().forget(picture)
