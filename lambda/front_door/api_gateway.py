"""API Gateway's REST proxy events and responses; the one file that knows HTTP status codes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from front_door.errors import (
    BodyTooLarge,
    EndpointThrottled,
    EndpointTimeout,
    EndpointUnavailable,
    InvalidRequest,
    ModelNotFound,
    RequestError,
    RouteNotFound,
)
from front_door.request_body import RawBody
from sd_contract.fields import Problem
from sd_contract.invocation import JSON
from sd_contract.limits import LAMBDA_BYTES

_REQUEST_STATUS: dict[type[RequestError], int] = {
    InvalidRequest: 400,
    ModelNotFound: 404,
    RouteNotFound: 404,
    BodyTooLarge: 413,
}


@dataclass(frozen=True)
class _Answer:
    status: int
    type: str
    code: str
    message: str
    retry_after_s: int | None = None


_TRY_AGAIN: dict[type[Exception], _Answer] = {
    EndpointThrottled: _Answer(
        429, "rate_limit_error", "rate_limited", "Too many requests; try again shortly.", 2
    ),
    # A new endpoint or container takes minutes, a full queue seconds; half a minute suits both.
    EndpointUnavailable: _Answer(
        503, "server_error", "model_unavailable", "The model is not available now; try again.", 30
    ),
    EndpointTimeout: _Answer(
        504,
        "server_error",
        "timeout",
        "The model did not answer in time; ask for fewer images or steps, or try again.",
    ),
}
_INTERNAL = _Answer(
    500, "server_error", "internal_error", "Something went wrong on our side; quote x-request-id."
)


@dataclass(frozen=True)
class Request:
    """`route` is the method and the resource's template, such as "GET /models"."""

    route: str
    body: RawBody


def request_id(event: Mapping[str, Any], fallback: str) -> str:
    """API Gateway's id for the request, which its access log has too."""
    return (event.get("requestContext") or {}).get("requestId") or fallback


def read_event(event: Mapping[str, Any]) -> Request:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return Request(
        route=f"{event['httpMethod']} {event['resource']}",
        body=RawBody(
            text=event.get("body") or "",
            is_base64=bool(event.get("isBase64Encoded")),
            content_type=headers.get("content-type"),
        ),
    )


def ok_response(request_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Raises InvalidRequest if the response is larger than Lambda may return."""
    response = _response(request_id, 200, body)
    size = len(json.dumps(response))
    if size > LAMBDA_BYTES:
        raise InvalidRequest(
            Problem(
                "response_format",
                f"response_format: the images take {size} bytes as b64_json, more than the "
                f'{LAMBDA_BYTES} a response may have: use "url", or a smaller n',
                "response_too_large",
            )
        )
    return response


def error_response(request_id: str, error: Exception) -> dict[str, Any]:
    """Only a RequestError's text reaches the caller; every other error is told by its kind."""
    param = None
    if isinstance(error, RequestError):
        status, param = _REQUEST_STATUS[type(error)], error.param
        answer = _Answer(status, "invalid_request_error", error.code, str(error))
    else:
        kinds = (answer for kind, answer in _TRY_AGAIN.items() if isinstance(error, kind))
        answer = next(kinds, _INTERNAL)
    body = {"message": answer.message, "type": answer.type, "param": param, "code": answer.code}
    response = _response(request_id, answer.status, {"error": body})
    if answer.retry_after_s is not None:
        response["headers"]["Retry-After"] = str(answer.retry_after_s)
    return response


def _response(request_id: str, status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"Content-Type": JSON, "x-request-id": request_id},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }
