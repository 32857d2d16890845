"""Lambda's entry of the API: an API Gateway REST proxy event in, a response out, one log line."""

import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.session import get_session

from batches.api.files import Files
from batches.api.operations import Answered, BatchApi, Content, Elsewhere, Request
from batches.config import Config
from batches.links import link_maker
from batches.objects import JSONL, Objects
from batches.store import Store
from batches.tasks import Tasks
from front_door.answering import answer_event
from front_door.api_gateway import headers_of, ok_response, raw_body
from front_door.clients import QUICK, make_client, make_s3


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return serve(event, context.aws_request_id, lambda: build_api().answer, _origins, print)


def serve(
    event: Mapping[str, Any],
    invocation_id: str,
    api: Callable[[], Callable[[Request], Answered]],
    origins: Callable[[], Sequence[str]],
    emit: Callable[[str], None],
    timer: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Never raises."""
    return answer_event(
        event,
        invocation_id,
        origins,
        lambda log: _response(log.request_id, api()(read_event(event))),
        emit,
        timer,
    )


def read_event(event: Mapping[str, Any]) -> Request:
    headers = headers_of(event)
    first = event["resource"].split("/")[1]
    rest = (event.get("pathParameters") or {}).get("proxy")
    identity = (event.get("requestContext") or {}).get("identity") or {}
    return Request(
        method=event["httpMethod"],
        path=(first, *(rest.split("/") if rest else ())),
        query=event.get("queryStringParameters") or {},
        body=raw_body(event),
        caller=identity.get("apiKeyId") or "",
        idempotency_key=headers.get("idempotency-key"),
    )


def _response(request_id: str, answered: Answered) -> dict[str, Any]:
    if isinstance(answered, Content):
        headers = {"Content-Type": JSONL, "x-request-id": request_id}
        return _plain(200, headers, answered.text)
    if isinstance(answered, Elsewhere):
        return _plain(302, {"Location": answered.url, "x-request-id": request_id}, "")
    return ok_response(request_id, answered)


def _plain(status: int, headers: dict[str, str], body: str) -> dict[str, Any]:
    return {"statusCode": status, "headers": headers, "body": body, "isBase64Encoded": False}


@functools.cache
def _config() -> Config:
    return Config.from_env(os.environ)


def _origins() -> Sequence[str]:
    return _config().cors_origins


@functools.cache
def build_api() -> BatchApi:
    """Built at the first request and kept, as the front door's."""
    config, session = _config(), get_session()
    objects = Objects(make_s3(session, **QUICK), config.bucket, config.url_ttl_s)
    store = Store(make_client(session, "dynamodb"), config.table)
    functions = make_client(session, "lambda")
    return BatchApi(
        files=Files(store, objects, config.result_days),
        tasks=Tasks(functions, config.checker),
        link_maker=lambda: link_maker(objects, session),
    )
