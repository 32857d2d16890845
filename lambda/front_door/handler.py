"""Lambda's entry: an API Gateway REST proxy event in, a response out, one log line."""

import functools
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.config import Config as ClientConfig
from botocore.session import Session, get_session

from front_door.ahead import Ahead
from front_door.answering import answer_event
from front_door.api_gateway import ok_response, read_event
from front_door.clients import QUICK, make_client, make_s3
from front_door.config import Config
from front_door.credentials import content_credentials
from front_door.endpoint import SageMakerRuntime
from front_door.gallery import PATHS as GALLERY_PATHS
from front_door.gallery import Gallery, not_deployed
from front_door.picture_bucket import PictureBucket
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
    """Never raises."""
    return answer_event(
        event,
        invocation_id,
        lambda: front_door().config.cors_origins,
        lambda log: _respond(event, log, front_door()),
        emit,
        timer,
    )


def _respond(event: Mapping[str, Any], log: RequestLog, front_door: FrontDoor) -> dict[str, Any]:
    if event["resource"] not in GALLERY_PATHS:
        return ok_response(log.request_id, front_door.answer(read_event(event), log))
    if front_door.gallery is None:
        raise not_deployed()
    return front_door.gallery.answer(event)


@functools.cache
def build_front_door() -> FrontDoor:
    """Built at the first request and kept. A wrong environment so becomes a 500 with the reason
    in the log, where failing at import would show the caller the gateway's bare 502."""
    config = Config.from_env(os.environ)
    # Not boto3, which adds a third of the import for what isn't used here.
    session = get_session()
    pictures = PictureBucket(
        Ahead(functools.partial(make_s3, session, **QUICK)),
        config.picture_bucket,
        config.url_ttl_s,
    )
    return FrontDoor(
        config=config,
        registry=VariantRegistry(
            make_client(session, "ssm"),
            prefix=config.variant_prefix,
            default_model=config.default_model,
            ttl_s=config.cache_ttl_s,
            clock=time.time,
            log=lambda entry: print(json.dumps(entry)),
        ),
        picture_times=PictureTimes(time.time),
        runtime=functools.cache(functools.partial(_runtime, session)),
        pictures=pictures,
        credentials=content_credentials(config, session, pictures),
        gallery=_gallery(config, session),
    )


def _gallery(config: Config, session: Session) -> Gallery | None:
    """Clients are made where a request needs them: most never do."""
    if not config.gallery_queue_url:
        return None
    sqs = functools.partial(make_client, session, "sqs")
    # All that the gateway leaves; tried once, as the function's own time would not fit twice.
    functions = functools.partial(
        make_client,
        session,
        "lambda",
        read_timeout=config.endpoint_timeout_s,
        retries={"total_max_attempts": 1},
    )
    return Gallery(
        config.gallery_queue_url,
        config.gallery_function,
        functools.cache(sqs),
        functools.cache(functions),
    )


def _runtime(session: Session, read_timeout_s: int) -> SageMakerRuntime:
    """A client's time-outs are all its requests'; it never tries again: what has been drawn already
    would be drawn twice."""
    once = {"total_max_attempts": 1}
    config = ClientConfig(
        connect_timeout=2, read_timeout=read_timeout_s, retries=once, tcp_keepalive=True
    )
    client: SageMakerRuntime = session.create_client("sagemaker-runtime", config=config)
    return client
