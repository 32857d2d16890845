"""From an API Gateway event to its response and log line, whatever happens in between."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from front_door.api_gateway import cors_headers, error_response, request_id
from front_door.request_log import RequestLog


def answer_event(
    event: Mapping[str, Any],
    invocation_id: str,
    origins: Callable[[], Sequence[str]],
    respond: Callable[[RequestLog], dict[str, Any]],
    emit: Callable[[str], None],
    timer: Callable[[], float],
) -> dict[str, Any]:
    """Never raises: every error becomes a response with its request id, and a log line."""
    log = RequestLog(request_id(event, invocation_id), timer)
    allowed: Sequence[str] = ()
    try:
        log.called(event)
        allowed = origins()
        response = respond(log)
    except Exception as error:  # noqa: BLE001 - the last resort: a 500 that tells nothing
        log.failed(error)
        response = error_response(log.request_id, error, invoked=log.invoked)
    response["headers"] |= cors_headers(event, allowed)
    emit(log.line(response["statusCode"]))
    return response
