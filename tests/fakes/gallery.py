"""What the gallery's tests share: the front door and the gallery with all their surroundings. Table
and buckets are moto's, vectors the local cloud's."""

import hashlib
import io
import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError
from botocore.session import Session

from front_door.gallery import Gallery as FrontDoorsGallery
from front_door.picture_bucket import ObjectStore
from gallery.api.handler import serve
from gallery.api.operations import GalleryApi
from gallery.files import Files
from gallery.keeping import Gallery
from gallery.removals.handler import remove
from gallery.rows import Rows
from gallery.texts import Texts, index_of
from gallery.vectors import Vectors
from gallery.worker.handler import work
from local_cloud.api_shapes import BadRequest
from local_cloud.s3vectors.service import S3Vectors
from local_cloud.settings import CloudSettings
from sd_contract.embeddings import Embeddings, asks_embeddings
from tests.fakes import batches, front_door
from tests.fakes.batches import BUCKET, TABLE
from tests.fakes.front_door import (
    CONFIG,
    REGISTRATION,
    FakeParameterStore,
    FakeRuntime,
    client_error,
    get,
    post,
    registration,
    variant,
)

DAYS = 30
DIMENSIONS = 64
QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/sd-gallery"
VECTORS = "gallery-vectors"
Encode = Callable[[str], list[float]]


def by_words(text: str) -> list[float]:
    """A text's vector by its words alone: of length 1, and near that of one with the same words."""
    numbers = [0.0] * DIMENSIONS
    for word in text.lower().split():
        for byte in hashlib.sha256(word.encode()).digest()[:4]:
            numbers[byte % DIMENSIONS] += 1.0 if byte & 128 else -1.0
    numbers[0] += 1e-3
    length = math.hypot(*numbers)
    return [number / length for number in numbers]


@dataclass
class FakeVectors:
    """botocore's client over the local cloud's S3 Vectors."""

    service: S3Vectors
    fails: list[Exception] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = "".join(part.capitalize() for part in name.split("_"))

        def call(**request: Any) -> Any:
            if self.fails:
                raise self.fails.pop(0)
            try:
                return self.service.call(operation, request)
            except BadRequest as error:
                told = {"Error": {"Code": error.code, "Message": str(error)}}
                raise ClientError(told, operation) from None

        return call

    def keys(self, index: str) -> set[str]:
        place = {"vectorBucketName": VECTORS, "indexName": index}
        return {each["key"] for each in self.list_vectors(**place)["vectors"]}


@dataclass
class FakeEndpoints(FakeRuntime):
    """Draws and encodes. An endpoint is `away` by its name, with what SageMaker says of it."""

    encode: Encode = by_words
    away: dict[str, Exception] = field(default_factory=dict)
    encoded: list[tuple[str, list[str]]] = field(default_factory=list)

    def invoke_endpoint(self, **kwargs: Any) -> Mapping[str, Any]:
        if not asks_embeddings(kwargs["Body"]):
            return super().invoke_endpoint(**kwargs)
        name, texts = kwargs["EndpointName"], json.loads(kwargs["Body"])["input"]
        if name in self.away:
            raise self.away[name]
        self.encoded.append((name, texts))
        return {"Body": io.BytesIO(self._answer(texts))}

    def _answer(self, texts: list[str]) -> bytes:
        vectors = tuple(struct.pack(f"<{DIMENSIONS}f", *self.encode(text)) for text in texts)
        return Embeddings(vectors, 5 * len(texts)).to_json()


@dataclass
class FakeQueue:
    """SQS with the one queue, or without it."""

    there: bool = True
    fails: Exception | None = None
    messages: list[str] = field(default_factory=list)

    def send_message(self, **kwargs: Any) -> None:
        assert kwargs.keys() == {"QueueUrl", "MessageBody"}
        assert kwargs["QueueUrl"] == QUEUE_URL
        # SQS's own limit, until lately (its guide, quotas-messages).
        assert len(kwargs["MessageBody"].encode()) <= 262_144
        if self.fails:
            raise self.fails
        if not self.there:
            raise client_error("AWS.SimpleQueueService.NonExistentQueue")
        self.messages.append(kwargs["MessageBody"])


@dataclass
class FakeFunctions:
    """Lambda with the gallery's function, or without it."""

    answer: Callable[[dict[str, Any]], dict[str, Any]]
    there: bool = True
    error: str = ""

    def invoke(self, **kwargs: Any) -> dict[str, Any]:
        assert kwargs.keys() == {"FunctionName", "Payload"}
        assert kwargs["FunctionName"] == "sd-gallery"
        if not self.there:
            raise client_error("ResourceNotFoundException")
        if self.error:
            return {"FunctionError": self.error, "Payload": io.BytesIO(b'{"errorMessage": "x"}')}
        answered = json.dumps(self.answer(json.loads(kwargs["Payload"])))
        return {"Payload": io.BytesIO(answered.encode())}


class World(front_door.World):
    """A front door with a gallery behind it. `work()` is the queue's function with all that waits,
    `expire()` what DynamoDB does with rows whose time is over. `said` is the gallery's own log."""

    def __init__(
        self,
        session: Session,
        *,
        encode: Encode = by_words,
        variants: Mapping[str, dict[str, Any]] | None = None,
        store: bool = False,
    ) -> None:
        self.said: list[dict[str, Any]] = []
        self.endpoints = FakeEndpoints(encode=encode)
        self.queue = FakeQueue()
        self.functions = FakeFunctions(self._answer)
        self.vectors = FakeVectors(S3Vectors(CloudSettings(port=0, state=Path("unused"))))
        self.table = session.create_client("dynamodb")
        self.bucket = session.create_client("s3", config=ClientConfig(signature_version="s3v4"))
        self.bucket.create_bucket(Bucket=CONFIG.picture_bucket)
        super().__init__(
            ssm=FakeParameterStore(dict(variants or {"g5": REGISTRATION})),
            runtime=self.endpoints,
            config=replace(CONFIG, gallery_queue_url=QUEUE_URL, store=store),
            gallery=FrontDoorsGallery(
                QUEUE_URL, "sd-gallery", lambda: self.queue, lambda: self.functions
            ),
        )

    def __post_init__(self) -> None:
        # The front door's pictures are where the gallery takes them from.
        self.s3: ObjectStore = self.bucket  # type: ignore[assignment]
        super().__post_init__()
        self.kept = Gallery(
            Rows(self.table, TABLE, now=self.clock),
            Vectors(lambda: self.vectors, VECTORS),
            Files(lambda: self.bucket, BUCKET, CONFIG.picture_bucket, CONFIG.url_ttl_s),
            Texts(self.registry, self.endpoints),
            DAYS,
        )
        self.vectors.create_vector_bucket(vectorBucketName=VECTORS)
        registered, _ = self.registry.listing()
        for index in {index_of(entry.variant) for entry in registered}:
            self.vectors.create_index(
                vectorBucketName=VECTORS,
                indexName=index,
                dataType="float32",
                dimension=DIMENSIONS,
                distanceMetric="cosine",
            )

    @property
    def index(self) -> str:
        """Of the default variant's model."""
        return index_of(variant())

    def _answer(self, event: dict[str, Any]) -> dict[str, Any]:
        api = GalleryApi(self.kept, self.registry)
        return serve(
            event, "i", lambda: api, lambda line: self.said.append(json.loads(line)), self.timer
        )

    def store(self, *prompts: str, **fields: Any) -> list[str]:
        """Keeps pictures of each, one after the other; gives their ids."""
        found = []
        for prompt in prompts:
            self.clock.now += 1 / 128
            status, _, body = self.generate(prompt=prompt, store=True, **fields)
            assert status == 200, body
            found += [item["id"] for item in body["data"]]
        self.work()
        return found

    def work(self, *, again: bool = False) -> list[str]:
        """What isn't done comes back, and stays; `again`: so does what is."""
        failed = []
        for body in [*self.queue.messages]:
            record = {"messageId": "m", "body": body}
            answer = work({"Records": [record]}, lambda: self.kept, self.said.append)
            if answer["batchItemFailures"]:
                failed.append(body)
        if not again:
            self.queue.messages = failed
        return failed

    def expire(self) -> None:
        """Within days of their time, as DynamoDB promises."""
        gone = []
        for item in self.items():
            if int(item["expires_at"]["N"]) <= self.clock.now:
                key = {name: item[name] for name in ("pk", "sk")}
                self.table.delete_item(TableName=TABLE, Key=key)
                gone.append(stream_record(item))
        remove({"Records": gone}, lambda: self.kept)

    def items(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.table.scan(TableName=TABLE)["Items"]
        return found

    def files(self) -> set[str]:
        """Keys in the gallery's bucket."""
        listed = self.bucket.list_objects_v2(Bucket=BUCKET)
        return {each["Key"] for each in listed.get("Contents", ())}

    def get(self, path: str, **query: str) -> tuple[int, dict[str, Any]]:
        """Of "/pictures/pic_…" the template is found."""
        return self._ask("GET", path, query)

    def delete(self, id: str) -> tuple[int, dict[str, Any]]:
        return self._ask("DELETE", f"/pictures/{id}", {})

    def _ask(self, method: str, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        first, _, id = path.lstrip("/").partition("/")
        event = get(
            f"/{first}/{{id}}" if id else f"/{first}",
            pathParameters={"id": id} if id else None,
            queryStringParameters=query or None,
        )
        status, _, body = self.send({**event, "httpMethod": method})
        return status, body


def stream_record(item: Mapping[str, Any]) -> dict[str, Any]:
    """Of a row that is gone, as the table's stream has it."""
    keys = {name: item[name] for name in ("pk", "sk")}
    return {"eventName": "REMOVE", "dynamodb": {"Keys": keys, "OldImage": dict(item)}}


@contextmanager
def world(**how: Any) -> Iterator[World]:
    with batches.aws() as session:
        yield World(session, **how)


SIBLING = registration("djl")
"""Of the same model."""
OTHER = registration("xl", model_id="owner/other", revision="1" * 40)

__all__ = ["OTHER", "SIBLING", "World", "by_words", "get", "post", "stream_record", "world"]
