"""Lambda's entry of what takes longer than a request may: a batch is checked, stopped or finished
(Tasks)."""

import functools
import os
import time
from collections.abc import Callable
from typing import Any

from botocore.session import get_session

from batches.checker.checking import Checker
from batches.checker.ending import Ending
from batches.checker.finishing import WORKERS, Finisher
from batches.checker.planning import Planner
from batches.config import Config
from batches.engines import Engines, say
from batches.objects import Objects
from front_door.ahead import Ahead
from front_door.clients import make_s3
from front_door.picture_bucket import PictureBucket


def handler(event: dict[str, str], context: Any) -> None:
    planner, finisher = build()

    def left_s() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    perform(event["action"], event["batch_id"], planner, finisher, left_s)


def perform(
    action: str, id: str, planner: Planner, finisher: Finisher, left_s: Callable[[], float]
) -> None:
    """`left_s` says how much of its time the function has left."""
    if action == "check":
        planner.check(id)
    elif action == "stop":
        finisher.stop(id, left_s)
    else:
        finisher.finish(id, left_s)


@functools.cache
def build() -> tuple[Planner, Finisher]:
    config, session = Config.from_env(os.environ), get_session()
    engines = Engines(config, session, say)
    s3 = make_s3(session, max_pool_connections=WORKERS, retries={"mode": "standard"})
    objects = Objects(s3, config.bucket, config.url_ttl_s)
    ending = Ending(engines.store, engines.client("events"), config.event_source)
    pictures = PictureBucket(Ahead(lambda: s3), config.picture_bucket, config.url_ttl_s)
    planner = Planner(
        engines.store,
        objects,
        Checker(engines.registry, pictures, config.embed_prompt),
        engines.fleets,
        engines.runner,
        ending,
        config.bulk_pictures,
    )
    finisher = Finisher(engines.store, objects, engines.tasks, ending, engines.runner, time.sleep)
    return planner, finisher
