"""Batches' engines on an account of fakes, but for the table, which is moto's."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

from botocore.session import Session

from batches.config import Config
from batches.engines import Engines
from batches.records import IN_PROGRESS, Batch
from batches.store import Store
from batches.worker.work import Work
from sd_contract.batch import PART_PICTURES, BatchKeys, Unit, UnitResult, WorkLine
from sd_contract.fleet import BulkFleet, Fleet
from sd_contract.registration import REAL_TIME, SERVES
from tests.fakes.batch_objects import BUCKET, FakeBatchBucket
from tests.fakes.batch_queue import URL, FakeFifo
from tests.fakes.batches import TABLE, aws, batch
from tests.fakes.front_door import (
    NOW,
    PNG,
    FakeRuntime,
    generation_request,
    registration,
)

ENV = {
    "SD_VARIANT_PREFIX": "/sd/variants",
    "SD_FLEET_PREFIX": "/sd/fleets",
    "SD_DEFAULT_MODEL": "g5",
    "SD_PICTURE_BUCKET": "pictures",
    "SD_BATCH_BUCKET": BUCKET,
    "SD_BATCH_TABLE": TABLE,
    "SD_BATCH_QUEUE_URL": URL,
    "SD_BATCH_CHECKER": "sd-batches-checker",
    "SD_BATCH_JOB_PREFIX": "sd-bulk-",
    "SD_BATCH_EVENT_SOURCE": "sd.batches",
    "SD_BATCH_RESULT_DAYS": "7",
    "SD_BATCH_BULK_PICTURES": "1000",
    "SD_BATCH_REAL_TIME_SHARE": "0.2",
    "SD_URL_TTL_S": "3600",
    "SD_CACHE_TTL_S": "60",
    "SD_EMBED_PROMPT": "true",
}
CONFIG = Config.from_env(ENV)
BULK_FLEET = BulkFleet(
    image_uri="111122223333.dkr.ecr.us-east-1.amazonaws.com/sd-g5:key",
    role_arn="arn:aws:iam::111122223333:role/sd-bulk",
    instance_type="ml.g5.xlarge",
    instance_count=2,
    spot=True,
    max_seconds=86_400,
    volume_gb=100,
    model_uri="s3://models/weights/key/",
    environment={"SD_VARIANT": "g5"},
    price_usd_per_hour=1.4084,
    kms_key_arn="arn:aws:kms:us-east-1:111122223333:key/1",
)
FLEET = Fleet(SERVES, "sd-g5-async", BULK_FLEET)


@dataclass
class FakeTasks:
    """Lambda with the checker."""

    asked: list[tuple[str, str]] = field(default_factory=list)

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> None:
        assert (FunctionName, InvocationType) == ("sd-batches-checker", "Event")
        task = json.loads(Payload)
        self.asked.append((task["action"], task["batch_id"]))


@dataclass
class FakeParameters:
    """SSM's registrations and fleets, by path."""

    documents: dict[str, dict[str, str]]
    read: list[str] = field(default_factory=list)
    """The paths, in turn."""

    def get_paginator(self, operation: str) -> "FakeParameters":
        assert operation == "get_parameters_by_path"
        return self

    def paginate(self, *, Path: str) -> Iterator[dict[str, Any]]:
        self.read.append(Path)
        yield {
            "Parameters": [
                {
                    "Name": f"{Path}/{name}",
                    "Value": text,
                    "LastModifiedDate": datetime(2026, 11, 22, tzinfo=UTC),
                }
                for name, text in self.documents[Path].items()
            ]
        }


class World:
    """`before` and `after` are called with each call of that name, of whichever client."""

    def __init__(self, session: Session, config: Config = CONFIG) -> None:
        self.before: dict[str, Callable[[], object]] = {}
        self.after: dict[str, Callable[[], object]] = {}
        self.queue = FakeFifo(NOW)
        self.bucket, self.tasks, self.runtime = FakeBatchBucket(), FakeTasks(), FakeRuntime()
        self.parameters = FakeParameters(
            {
                "/sd/variants": {"g5": json.dumps(registration("g5", serve=list(SERVES)))},
                "/sd/fleets": {"g5": FLEET.to_json()},
            }
        )
        self.clients: dict[str, Any] = {
            "dynamodb": session.create_client("dynamodb"),
            "s3": self.bucket,
            "sqs": self.queue,
            "ssm": self.parameters,
            "lambda": self.tasks,
            "sagemaker-runtime": self.runtime,
        }
        self.logged: list[dict[str, Any]] = []
        self.took_s = 2.0
        self.engines = Engines(
            config,
            cast(Session, self),
            self.logged.append,
            now=self.queue.clock,
            timer=self._timer,
            spread=lambda low, high: (low + high) / 2,
        )
        self._ticks = 0.0

    def create_client(self, service: str, **_: object) -> Any:
        """As botocore's session."""
        return _Hooked(self.clients[service], self)

    def _timer(self) -> float:
        """A call takes `took_s`."""
        self._ticks += self.took_s
        return self._ticks

    @property
    def store(self) -> Store:
        return self.engines.store

    def add(
        self,
        lines: int,
        *,
        images: int = 1,
        id: str = "batch_1",
        engine: str = REAL_TIME,
        part_pictures: int = PART_PICTURES,
        **changes: Any,
    ) -> Batch:
        """A batch as the checker leaves it; line i's seeds begin at 1000 i."""
        made = [
            WorkLine.of(
                line,
                f"request-{line}",
                generation_request(num_images=images, seed=1000 * line).invocation,
                str,
            )
            for line in range(1, lines + 1)
        ]
        a_part = max(1, part_pictures // images)
        parts = [made[start : start + a_part] for start in range(0, lines, a_part)]
        for number, part in enumerate(parts):
            text = "".join(f"{line.to_json()}\n" for line in part)
            self.bucket.objects[BatchKeys(id).part(number)] = text.encode()
        values = {
            "status": IN_PROGRESS,
            "model": "g5",
            "engine": engine,
            "total": lines,
            "images": lines * images,
            "parts": len(parts),
        }
        added = batch(id, **{**values, **changes})
        self.store.add(added)
        return added

    def work(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        return Work(self.engines).handle(event)

    def run(self) -> None:
        self.queue.drain(self.work)

    def log(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.logged if line["event"] == event]

    def results(self, id: str = "batch_1") -> list[UnitResult]:
        found = self.bucket.below(BatchKeys(id).results)
        return [UnitResult.from_json(self.bucket.objects[key]) for key in found]

    def units(self, id: str = "batch_1") -> list[Unit]:
        parts = self.bucket.below(BatchKeys(id).work)
        lines = [
            WorkLine.from_json(line)
            for part in parts
            for line in self.bucket.objects[part].splitlines()
        ]
        return [unit for line in lines for unit in line.units]

    def assert_whole(self, id: str = "batch_1") -> None:
        """Each picture is there once, the right one, and counted once."""
        results, units = self.results(id), self.units(id)
        assert [each.name for each in results] == [unit.name for unit in units]
        for result in results:
            assert result.error is None
            assert self.bucket.objects[result.key or ""] == PNG + str(result.seed).encode()
        batch = self.store.batch(id)
        assert (batch.pictures, batch.completed, batch.failed) == (len(units), batch.total, 0)

    def draws(self, line: int) -> int:
        return sum(call["Body"]["seed"] // 1000 == line for call in self.runtime.invocations)


class _Hooked:
    def __init__(self, client: Any, world: World) -> None:
        self._client, self._world = client, world

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        before, after = self._world.before.get(name), self._world.after.get(name)
        if before is None and after is None:
            return attribute

        def call(**kwargs: Any) -> Any:
            if before:
                before()
            answer = attribute(**kwargs)
            if after:
                after()
            return answer

        return call


@contextmanager
def world(**changes: Any) -> Iterator[World]:
    """`changes` are to the functions' configuration."""
    with aws() as session:
        yield World(session, replace(CONFIG, **changes))
