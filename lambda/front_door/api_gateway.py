"""API Gateway's REST proxy events and responses; the one file that knows HTTP status codes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from front_door.errors import (
    BodyTooLarge,
    Conflict,
    EndpointAtZero,
    EndpointDied,
    EndpointNotFound,
    EndpointOverloaded,
    EndpointStopped,
    EndpointThrottled,
    EndpointTimeout,
    EndpointTooOld,
    EndpointUnavailable,
    FrontDoorError,
    GalleryNotDeployed,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    PictureNotFound,
    RecordNotFound,
    RequestError,
    RouteNotFound,
)
from front_door.request_body import RawBody
from sd_contract.cors import EXPOSED_HEADERS
from sd_contract.fields import Problem
from sd_contract.invocation import JSON
from sd_contract.limits import LAMBDA_BYTES

_REQUEST_STATUS: dict[type[RequestError], int] = {
    InvalidRequest: 400,
    ModelNotFound: 404,
    PictureNotFound: 404,
    RecordNotFound: 404,
    Conflict: 409,
    GalleryNotDeployed: 404,
    RouteNotFound: 404,
    MethodNotAllowed: 405,
    BodyTooLarge: 413,
}
# OpenAI's clients send such a request again by themselves, and that costs nothing.
_AGAIN = (429,)


@dataclass(frozen=True)
class _Answer:
    status: int
    type: str
    code: str
    message: str
    retry_after_s: int | None = None


FAILURES: dict[type[Exception], _Answer] = {
    EndpointThrottled: _Answer(
        429, "rate_limit_error", "rate_limited", "Too many requests; try again shortly.", 2
    ),
    # As long as a few pictures take.
    EndpointOverloaded: _Answer(
        503, "server_error", "model_overloaded", "The model's queue is full; try again.", 5
    ),
    # Not before somebody has seen to it.
    EndpointStopped: _Answer(
        503, "server_error", "model_stopped", "The model is stopped. To start it: {start}"
    ),
    # A new endpoint or container takes minutes.
    EndpointNotFound: _Answer(
        503,
        "server_error",
        "model_not_in_service",
        "The model is not in service now: it is being deployed, or its deploy has failed.",
        30,
    ),
    EndpointAtZero: _Answer(
        503,
        "server_error",
        "model_starting",
        "The model has no instance running; one that starts takes minutes.",
        60,
    ),
    EndpointDied: _Answer(
        503,
        "server_error",
        "model_interrupted",
        "The model stopped before it answered; the same request may stop it again.",
    ),
    EndpointTooOld: _Answer(
        503,
        "server_error",
        "model_too_old",
        "The model's container is older than embeddings; a deploy of its stack brings them.",
    ),
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
"""The first that fits counts."""
INTERNAL = _Answer(
    500, "server_error", "internal_error", "Something went wrong on our side; quote x-request-id."
)


@dataclass(frozen=True)
class Request:
    """`path` is the resource's template, such as "/models/{id}"; `model` is that id. `base_url` is
    the API's, as the caller spells it, where the path has no parameters."""

    method: str
    path: str
    model: str
    base_url: str
    body: RawBody


def request_id(event: Mapping[str, Any], fallback: str) -> str:
    """API Gateway's id for the request, which its access log has too."""
    return (event.get("requestContext") or {}).get("requestId") or fallback


def read_event(event: Mapping[str, Any]) -> Request:
    context = event.get("requestContext") or {}
    # With the stage, or a custom domain's base path, which the event's own path has as well
    # (CodeGenieApp/serverless-express#216).
    path = (context.get("path") or "").rstrip("/")
    return Request(
        method=event["httpMethod"],
        path=event["resource"],
        model=(event.get("pathParameters") or {}).get("id", ""),
        base_url=f"https://{context.get('domainName', '')}{path.removesuffix(event['resource'])}",
        body=raw_body(event),
    )


def raw_body(event: Mapping[str, Any]) -> RawBody:
    headers = headers_of(event)
    return RawBody(
        text=event.get("body") or "",
        is_base64=bool(event.get("isBase64Encoded")),
        content_type=headers.get("content-type"),
        content_encoding=headers.get("content-encoding"),
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


def error_response(request_id: str, error: Exception, *, invoked: bool) -> dict[str, Any]:
    """Only a RequestError's text reaches the caller; every other error is told by its kind.

    `x-should-retry: false` where the same request would fail again, or a container has worked on it
    (`invoked`, unless the error says otherwise): OpenAI's clients then don't send it again
    (openai-python, BaseClient._should_retry).
    """
    param = None
    if isinstance(error, RequestError):
        status, param = _REQUEST_STATUS[type(error)], error.param
        answer = _Answer(status, "invalid_request_error", error.code, str(error))
    else:
        kinds = (answer for kind, answer in FAILURES.items() if isinstance(error, kind))
        answer = next(kinds, INTERNAL)
    if isinstance(error, EndpointStopped):
        answer = replace(answer, message=answer.message.format(start=error.start))
    body = {"message": answer.message, "type": answer.type, "param": param, "code": answer.code}
    response = _response(request_id, answer.status, {"error": body})
    if answer.retry_after_s is not None:
        response["headers"]["Retry-After"] = str(answer.retry_after_s)
    if isinstance(error, MethodNotAllowed):
        response["headers"]["Allow"] = error.allowed
    drawn = invoked and not (isinstance(error, FrontDoorError) and error.not_drawn)
    stays = answer.status < 500 and answer.status not in _AGAIN
    if stays or drawn or isinstance(error, EndpointStopped):
        response["headers"]["x-should-retry"] = "false"
    return response


def cors_headers(event: Mapping[str, Any], origins: Sequence[str]) -> dict[str, str]:
    """Of every answer, for the page that asks (Fetch standard, CORS protocol); the gateway answers
    the preflights."""
    if not origins:
        return {}
    headers = {"Access-Control-Expose-Headers": ",".join(EXPOSED_HEADERS)}
    if "*" in origins:
        return headers | {"Access-Control-Allow-Origin": "*"}
    headers["Vary"] = "Origin"
    origin = headers_of(event).get("origin", "")
    return headers | ({"Access-Control-Allow-Origin": origin} if origin in origins else {})


def headers_of(event: Mapping[str, Any]) -> dict[str, str]:
    """By their names in lower case."""
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def _response(request_id: str, status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"Content-Type": JSON, "x-request-id": request_id},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }
