"""Which operation a request is for, and what its query says: for each function that answers the
gateway."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from front_door.errors import InvalidRequest, MethodNotAllowed, RouteNotFound
from sd_contract.fields import Allowed, Problem, Text, Whole, read

Route = TypeVar("Route")
Operation = TypeVar("Operation")


def operation_of(
    routes: Mapping[Route, Mapping[str, Operation]], route: Route, method: str
) -> Operation:
    """Raises RouteNotFound, MethodNotAllowed."""
    methods = routes.get(route)
    if methods is None:
        raise RouteNotFound(Problem(None, "The API has no such path.", "not_found"))
    if method not in methods:
        raise MethodNotAllowed(", ".join(methods))
    return methods[method]


def read_query(
    given: Mapping[str, Any], known: Mapping[str, Allowed], most: int, default: int
) -> tuple[dict[str, Any], int]:
    """The values of what is `known`, and the `limit`: up to `most`, and `default` without one.
    Raises InvalidRequest."""
    values, problems = read(given, {**known, "limit": Text()}, ())
    limit, allowed = values.pop("limit", str(default)), Whole(1, most)
    # Of nine digits at most: int() refuses thousands.
    if not (re.fullmatch("[0-9]{1,9}", limit) and not allowed.mistake(int(limit))):
        problems.append(Problem("limit", f"limit: must be {allowed.expected}", "out_of_range"))
    if problems:
        raise InvalidRequest(*problems)
    return values, int(limit)
