"""Lambda's entry: an API Gateway REST proxy event in, a response out, one log line."""

import functools
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.config import Config as ClientConfig

from front_door.api_gateway import error_response, ok_response, read_event, request_id
from front_door.config import Config
from front_door.picture_time import PictureTimes
from front_door.request_log import RequestLog
from front_door.service import FrontDoor
from front_door.variants import VariantRegistry


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return serve(event, context.aws_request_id, build_front_door, print)


def serve(
    event: Mapping[str, Any],
    invocation_id: str,
    front_door: Callable[[], FrontDoor],
    emit: Callable[[str], None],
    timer: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Never raises: whatever happens becomes a response with its request id, and a log line."""
    log = RequestLog(request_id(event, invocation_id), timer)
    try:
        log.called(event)
        response = ok_response(log.request_id, front_door().answer(read_event(event), log))
    except Exception as error:  # noqa: BLE001 - the last resort: a 500 that tells nothing
        log.failed(error)
        response = error_response(log.request_id, error)
    emit(log.line(response["statusCode"]))
    return response


@functools.cache
def build_front_door() -> FrontDoor:
    """Built at the first request and kept. A wrong environment so becomes a 500 with the reason
    in the log, where failing at import would show the caller the gateway's bare 502."""
    config = Config.from_env(os.environ)
    once = {"total_max_attempts": 1}
    runtime = ClientConfig(
        connect_timeout=2, read_timeout=config.endpoint_timeout_s, retries=once, tcp_keepalive=True
    )
    quick = {"connect_timeout": 1, "read_timeout": 5, "retries": {"total_max_attempts": 2}}
    # Virtual addressing: without it S3 URLs outside us-east-1 are signed for the global host,
    # whose redirect breaks the signature.
    s3 = ClientConfig(signature_version="s3v4", s3={"addressing_style": "virtual"}, **quick)
    session = boto3.Session()
    return FrontDoor(
        config=config,
        registry=VariantRegistry(
            session.client("ssm", config=ClientConfig(**quick)),
            prefix=config.variant_prefix,
            default_model=config.default_model,
            ttl_s=config.cache_ttl_s,
            clock=time.time,
            log=lambda entry: print(json.dumps(entry)),
        ),
        picture_times=PictureTimes(time.time),
        runtime=session.client("sagemaker-runtime", config=runtime),
        s3=session.client("s3", config=s3),
    )
