"""The three engines (batches.runner.Runner), with the clients that they need."""

import functools
import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.config import Config as ClientConfig
from botocore.session import Session, get_session

from batches.asynchronous import Asynchronous
from batches.bulk import Bulk
from batches.config import Config
from batches.fleets import Fleets
from batches.queue import BatchQueue
from batches.real_time import RealTime
from batches.runner import Runner
from batches.settling import Settling
from batches.store import Store
from batches.tasks import Tasks
from front_door.variants import VariantRegistry
from sd_contract.batch import BatchKeys
from sd_contract.batch_store import BatchStore
from sd_contract.limits import INVOCATION_S
from sd_contract.registration import ASYNC, REAL_TIME
from sd_contract.signing import Passage, Signer


@dataclass(frozen=True)
class Engines:
    """A client is made when it is wanted: no function wants all of them. `now` is in seconds since
    the epoch, `timer` in seconds; `spread` is random.uniform."""

    config: Config
    session: Session
    log: Callable[[dict[str, Any]], None]
    now: Callable[[], float] = time.time
    timer: Callable[[], float] = time.monotonic
    spread: Callable[[float, float], float] = random.uniform

    @functools.cached_property
    def store(self) -> Store:
        return Store(self.client("dynamodb"), self.config.table, self.now)

    @functools.cached_property
    def queue(self) -> BatchQueue:
        return BatchQueue(self.client("sqs"), self.config.queue_url)

    @functools.cached_property
    def real_time(self) -> RealTime:
        # A second try of the client's own would draw the picture twice.
        once = ClientConfig(
            connect_timeout=2,
            read_timeout=INVOCATION_S + 5,
            retries={"total_max_attempts": 1},
            tcp_keepalive=True,
        )
        runtime = self.session.create_client("sagemaker-runtime", config=once)
        return RealTime(
            self.queue,
            self._settling,
            self._objects,
            self.registry,
            runtime,
            self.config.real_time_share,
            timer=self.timer,
            spread=self.spread,
        )

    @functools.cached_property
    def asynchronous(self) -> Asynchronous:
        runtime = self.client("sagemaker-runtime")
        return Asynchronous(
            self.queue,
            self._settling,
            self._objects,
            self._s3,
            self.config.bucket,
            self.fleets,
            runtime,
        )

    @functools.cached_property
    def bulk(self) -> Bulk:
        return Bulk(
            self.queue,
            self.store,
            self.tasks,
            self.config,
            self.fleets,
            self.client("sagemaker"),
            self.log,
            self.now,
        )

    def runner(self, engine: str) -> Runner:
        """By the name that a registration's `serve` has for it."""
        if engine == REAL_TIME:
            return self.real_time
        return self.asynchronous if engine == ASYNC else self.bulk

    @functools.cached_property
    def registry(self) -> VariantRegistry:
        told = self.config
        return VariantRegistry(
            self.client("ssm"),
            prefix=told.variant_prefix,
            default_model=told.default_model,
            ttl_s=told.cache_ttl_s,
            clock=self.now,
            log=self.log,
        )

    @functools.cached_property
    def tasks(self) -> Tasks:
        return Tasks(self._functions, self.config.checker)

    def _objects(self, batch_id: str) -> BatchStore:
        return BatchStore(self._s3, self.config.bucket, BatchKeys(batch_id), self._signer)

    @functools.cached_property
    def _signer(self) -> Signer | None:
        """None where pictures aren't to be signed."""
        if not self.config.signing_function:
            return None
        passage = Passage(lambda: self._s3, self.config.picture_bucket)
        return Signer(lambda: self._functions, self.config.signing_function, passage)

    @functools.cached_property
    def _functions(self) -> Any:
        return self.client("lambda")

    @functools.cached_property
    def _settling(self) -> Settling:
        return Settling(self.store, self.tasks, self.log, self.now)

    @functools.cached_property
    def fleets(self) -> Fleets:
        return Fleets(self.client("ssm"), self.config.fleet_prefix)

    @functools.cached_property
    def _s3(self) -> Any:
        return self.client("s3")

    def client(self, service: str) -> Any:
        retries = {"mode": "standard", "total_max_attempts": 4}
        config = ClientConfig(connect_timeout=2, read_timeout=20, retries=retries)
        return self.session.create_client(service, config=config)


@functools.cache
def engines() -> Engines:
    """Of the function's environment, kept for its calls."""
    return Engines(Config.from_env(os.environ), get_session(), say)


def say(line: dict[str, Any]) -> None:
    """To the function's log."""
    print(json.dumps(line, default=str))
