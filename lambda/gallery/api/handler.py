"""Lambda's entry of the API: an API Gateway REST proxy event, passed on by the front door, in; a
response out, one log line."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

from front_door.answering import answer_event
from front_door.api_gateway import ok_response
from gallery.api.operations import GalleryApi, Request
from gallery.services import build

# Of the gateway's 29 s; the rest is for two cold starts and the query.
INVOKE_S = 18.0


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return serve(event, context.aws_request_id, build_api, print)


def serve(
    event: Mapping[str, Any],
    invocation_id: str,
    api: Callable[[], GalleryApi],
    emit: Callable[[str], None],
    timer: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Never raises. The front door says whose pages may read the answer."""
    return answer_event(
        event,
        invocation_id,
        tuple,
        lambda log: ok_response(log.request_id, api().answer(_request(event), log)),
        emit,
        timer,
    )


def _request(event: Mapping[str, Any]) -> Request:
    return Request(
        method=event["httpMethod"],
        path=event["resource"],
        id=(event.get("pathParameters") or {}).get("id", ""),
        query=event.get("queryStringParameters") or {},
    )


@functools.cache
def build_api() -> GalleryApi:
    gallery = build(INVOKE_S)
    return GalleryApi(gallery, gallery.texts.registry)
