"""An operation of ours in the form that MiniStack's handlers have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import error_response_json, json_response

from local_cloud.api_shapes import BadRequest

Response = tuple[int, dict[str, str], bytes]
Operation = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Gives the answer's members; BadRequest is its error."""
Handler = Callable[[Mapping[str, Any]], Response]


def answering(operation: Operation) -> Handler:
    def handler(request: Mapping[str, Any]) -> Response:
        try:
            return success(operation(request))
        except BadRequest as error:
            return refusal(error)

    return handler


def success(members: Mapping[str, Any]) -> Response:
    response: Response = json_response(dict(members))
    return response


def refusal(error: BadRequest) -> Response:
    response: Response = error_response_json(error.code, str(error), error.status)
    return response
