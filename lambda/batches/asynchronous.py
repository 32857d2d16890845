"""Batches on an asynchronous endpoint: a request a picture, whose end SageMaker tells by SNS.

No more than a part and a half of a batch waits at the endpoint, so a cancel leaves little behind;
what still waits is taken back by deleting its input.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from batches.fleets import Fleets
from batches.queue import BatchQueue, Draw, Part
from batches.real_time import AT_HAND_S, TRIES, Later, not_drawn
from batches.records import Batch
from batches.settling import Settling
from batches.store import NotThere, Sent
from sd_contract.batch import BatchKeys, Unit, UnitResult
from sd_contract.batch_store import BatchStore
from sd_contract.invocation import ENGINE_ERROR, JSON, Answer, ContainerError
from sd_contract.limits import PATIENT

_INPUTS = "async/"
"""Of a batch's folder: <part>/<try>/<unit>.json."""


@dataclass(frozen=True)
class Ended:
    """A request's end, as SNS brings it (developer guide, Check prediction results). `input` is a
    key; `output` too, None of a request that failed for `reason`."""

    input: str
    output: str | None
    reason: str

    @classmethod
    def read(cls, message: str) -> "Ended":
        told = json.loads(message)
        output = None
        if told["invocationStatus"] == "Completed":
            output = _key(told["responseParameters"]["outputLocation"])
        return cls(
            _key(told["requestParameters"]["inputLocation"]), output, told.get("failureReason", "")
        )

    @property
    def batch_id(self) -> str:
        return self.input.split("/")[1]

    @property
    def part(self) -> int:
        return int(self.input.split("/")[3])

    @property
    def tries(self) -> int:
        return int(self.input.split("/")[4])

    @property
    def unit(self) -> str:
        return self.input.rsplit("/", 1)[-1].removesuffix(".json")


@dataclass(frozen=True)
class Asynchronous:
    """`objects` gives a batch's, by its id; `s3` and `runtime`, of sagemaker-runtime, are
    botocore's clients."""

    queue: BatchQueue
    settling: Settling
    objects: Callable[[str], BatchStore]
    s3: Any
    bucket: str
    fleets: Fleets
    runtime: Any

    def start(self, batch: Batch) -> None:
        self.queue.send([Part(batch.id, 0)])

    def stop(self, batch: Batch) -> float:
        folder = f"{BatchKeys(batch.id).folder}{_INPUTS}"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder)
        for entry in (each for page in pages for each in page.get("Contents", ())):
            self.s3.delete_object(Bucket=self.bucket, Key=entry["Key"])
        return AT_HAND_S

    def hand_out(self, batch: Batch, part: int) -> None:
        """Raises Later."""
        store = self.settling.store
        # Every variant's parameter is read for it: once a part, not a picture.
        endpoint = functools.cache(self._endpoint)
        for unit in self._units(batch.id, part):
            if not self.settling.goes_on(store.batch(batch.id)):
                return
            # A message that came twice, or whose worker died, finds what it has sent.
            if store.sent(batch.id, unit.name) is None:
                self._send(endpoint(batch.model), batch, unit, part, 0)

    def draw(self, batch: Batch, told: Draw) -> None:
        """Once more, after it failed. Raises Later."""
        sent = self.settling.store.sent(batch.id, told.unit.name)
        if self.settling.goes_on(batch) and (sent is None or sent.tries < told.tries):
            endpoint = self._endpoint(batch.model)
            self._send(endpoint, batch, told.unit, told.part, told.tries)

    def give_up(self, batch: Batch, told: Draw) -> None:
        self._settle_failed(batch, told.unit, not_drawn(told))

    def answered(self, ended: Ended) -> None:
        """May be told twice."""
        try:
            batch = self.settling.store.batch(ended.batch_id)
        except NotThere:
            return
        units = self._units(batch.id, ended.part)
        [number] = [n for n, unit in enumerate(units) if unit.name == ended.unit]
        unit, objects = units[number], self.objects(batch.id)
        result = objects.result(unit)
        if result is None and ended.output:
            result = self._kept(objects, unit, ended.output)
        if result:
            self.settling.settle(batch, unit, result)
        else:
            self._failed(batch, unit, ended)
        for key in filter(None, (ended.input, ended.output)):
            self.s3.delete_object(Bucket=self.bucket, Key=key)
        if number == len(units) // 2 and ended.part + 1 < batch.parts:
            self.queue.send([Part(batch.id, ended.part + 1)])

    def _kept(self, objects: BatchStore, unit: Unit, output: str) -> UnitResult | None:
        """None where the container's answer is a failure of its own or none at all, or was read
        before."""
        try:
            return objects.keep(unit, Answer.from_json(objects.load(output)))
        except (self.s3.exceptions.NoSuchKey, ValueError):
            return None
        except ContainerError as error:
            if error.kind == ENGINE_ERROR:
                return None
            return objects.keep_result(UnitResult.refused(unit, error))

    def _failed(self, batch: Batch, unit: Unit, ended: Ended) -> None:
        sent = self.settling.store.sent(batch.id, unit.name)
        # An end may be told before its request is noted.
        if not self.settling.goes_on(batch) or (sent and sent.tries > ended.tries):
            return
        refusal = self._refusal(sent) if sent else None
        if refusal or ended.tries + 1 >= TRIES:
            result = UnitResult.refused(unit, refusal or ContainerError(ENGINE_ERROR, ended.reason))
            self._settle_failed(batch, unit, result)
            return
        group = Part(batch.id, 0).group
        again = Draw(batch.id, unit, ended.part, None, group, ended.tries + 1)
        self.queue.send([again])

    def _refusal(self, sent: Sent) -> ContainerError | None:
        """The container's own, of a request that must not be tried again."""
        try:
            body = self.objects("").load(_key(sent.failure))
            error = ContainerError.from_json(body)
        except (self.s3.exceptions.NoSuchKey, ValueError):
            return None
        return None if error.kind == ENGINE_ERROR else error

    def _settle_failed(self, batch: Batch, unit: Unit, failed: UnitResult) -> None:
        objects = self.objects(batch.id)
        result = objects.result(unit) or objects.keep_result(failed)
        self.settling.settle(batch, unit, result)

    def _endpoint(self, variant: str) -> str | None:
        return self.fleets.find(variant).async_endpoint_name

    def _send(self, endpoint: str | None, batch: Batch, unit: Unit, part: int, tries: int) -> None:
        objects = self.objects(batch.id)
        key = f"{objects.keys.folder}{_INPUTS}{part}/{tries}/{unit.name}.json"
        objects.put(key, unit.asked(objects.load).to_json())
        try:
            answer = self.runtime.invoke_endpoint_async(
                EndpointName=endpoint,
                ContentType=JSON,
                Accept=JSON,
                CustomAttributes=f"request_id={batch.id}-{unit.name};{PATIENT}=yes",
                InferenceId=f"{batch.id}-{unit.name}",
                InputLocation=f"s3://{self.bucket}/{key}",
            )
        except self.runtime.exceptions.ClientError as error:
            # Throttled, or the endpoint is being deployed.
            raise Later(str(error)) from error
        sent = Sent(tries, answer.get("FailureLocation", ""))
        self.settling.store.mark_sent(batch, unit.name, sent)

    def _units(self, batch_id: str, part: int) -> list[Unit]:
        return [unit for line in self.objects(batch_id).part(part) for unit in line.units]


def _key(uri: str) -> str:
    return urlsplit(uri).path.lstrip("/")
