"""The API's operations on files and batches, from a request to what is answered."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from batches.api.files import DAY_S, Files, not_uploaded, query
from batches.links import signed_lines
from batches.objects import JSONL
from batches.records import (
    CANCELLING,
    DRAWING,
    ENDPOINTS,
    ENDS,
    IN_PROGRESS,
    OUTPUT,
    REQUESTS,
    VALIDATING,
    Batch,
    File,
)
from batches.store import NotThere, Taken, new_id
from batches.tasks import Tasks
from front_door.errors import Conflict, InvalidRequest, RecordNotFound
from front_door.request_body import RawBody, parse_body
from front_door.routing import operation_of
from sd_contract.batch import BatchKeys
from sd_contract.fields import Allowed, Choice, Problem, Text, json_type, read, shown
from sd_contract.limits import LAMBDA_BYTES
from sd_contract.registration import BULK

INLINE_BYTES = 1_000_000
"""More than that is fetched from the bucket. JSON writes one character with six at most, and six
times this is what a function may answer."""
MOST_HOURS = 168
PAIRS = 16
"""OpenAI's limits of `metadata` (API reference, Create batch), as are those of its texts."""
_METADATA_KEY, _METADATA_VALUE = Text(1, 64), Text(0, 512)
_FIELDS: Mapping[str, Allowed] = {
    "endpoint": Choice(ENDPOINTS),
    "input_file_id": Text(1, 80),
    "completion_window": Text(),
}
_IDEMPOTENCY_KEY = Text(1, 255)
_HOURS = re.compile("([1-9][0-9]{0,2})h")


@dataclass(frozen=True)
class Request:
    """`path` is what follows the stage, in parts: ("batches", "batch_1", "cancel"). `caller` is
    the API key's id."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    body: RawBody
    caller: str
    idempotency_key: str | None


@dataclass(frozen=True)
class Content:
    """A file's, as it is answered."""

    text: str


@dataclass(frozen=True)
class Elsewhere:
    """Where the answer is, being larger than one may be."""

    url: str


Answered = Mapping[str, Any] | Content | Elsewhere
Operation = Callable[..., Answered]


@dataclass(frozen=True)
class BatchApi:
    """`link_maker()` gives what makes a link of a picture's key, for as long as a request takes."""

    files: Files
    tasks: Tasks
    link_maker: Callable[[], Callable[[str], str]]
    inline_bytes: int = INLINE_BYTES

    def answer(self, request: Request) -> Answered:
        """Raises FrontDoorError."""
        routes: dict[tuple[str, ...], dict[str, Operation]] = {
            ("files",): {"GET": self._list_files, "POST": self._upload},
            ("files", "{}"): {"GET": self._file, "DELETE": self._delete},
            ("files", "{}", "content"): {"GET": self._content},
            ("batches",): {"GET": self._list_batches, "POST": self._create},
            ("batches", "{}"): {"GET": self._batch},
            ("batches", "{}", "cancel"): {"POST": self._cancel},
        }
        template = tuple("{}" if at == 1 else part for at, part in enumerate(request.path))
        return operation_of(routes, template, request.method)(request, *request.path[1:2])

    def _upload(self, request: Request) -> Answered:
        return self.files.upload(request.body)

    def _list_files(self, request: Request) -> Answered:
        given = dict(request.query)
        purpose = {"purpose": given.pop("purpose", None)}
        _, problems = read(purpose, {"purpose": Choice((REQUESTS, OUTPUT))}, ())
        if problems:
            raise InvalidRequest(*problems)
        limit, after = query(given, 10_000, 1_000)
        found, more = self.files.store.list(File, limit, after, purpose["purpose"])
        return _list([file.public() for file in found], more=more)

    def _file(self, _request: Request, id: str) -> Answered:
        return self.files.find(id).public()

    def _delete(self, _request: Request, id: str) -> Answered:
        return self.files.delete(id)

    def _content(self, _request: Request, id: str) -> Answered:
        file = self.files.find(id)
        objects = self.files.objects
        if file.upload_bytes:
            raise Conflict(not_uploaded("file_id", id))
        if file.purpose == OUTPUT:
            content = signed_lines(self.files.content(file), self.link_maker())
            if len(content) <= self.inline_bytes:
                return Content(content.decode())
            key = f"{file.key}.signed"
            objects.put(key, content, JSONL)
            return Elsewhere(objects.download_url(key))
        if file.bytes <= self.inline_bytes:
            with suppress(UnicodeDecodeError):
                return Content(self.files.content(file).decode())
        return Elsewhere(objects.download_url(file.key))

    def _list_batches(self, request: Request) -> Answered:
        limit, after = query(request.query, 100, 20)
        found, more = self.files.store.list(Batch, limit, after)
        return _list([batch.public() for batch in found], more=more)

    def _batch(self, _request: Request, id: str) -> Answered:
        return self._current(id).public()

    def _create(self, request: Request) -> Answered:
        body = parse_body(request.body, LAMBDA_BYTES)
        values, content = _read(body, min(MOST_HOURS, self.files.days * 24))
        batch = self._new(values)
        if content is None:
            self.files.requests(batch.input_file_id)
        key = request.idempotency_key
        if key is not None:
            if mistake := _IDEMPOTENCY_KEY.mistake(key):
                raise InvalidRequest(Problem(None, f"Idempotency-Key: {mistake}", "out_of_range"))
            claim = _digest([request.caller, key])
            try:
                self.files.store.add_once(batch, claim, _digest(body))
            except Taken as taken:
                batch = self._again(taken, _digest(body))
        else:
            self.files.store.add(batch)
        if batch.status == VALIDATING:
            # Also of a request that comes again, as its first may have ended here.
            if content is not None:
                self._keep(batch, content)
            self.tasks.ask("check", batch.id)
        return batch.public()

    def _new(self, values: Mapping[str, Any]) -> Batch:
        now = self.files.store.now()
        name = new_id(now)
        window = values["completion_window"]
        return Batch(
            id=f"batch_{name}",
            created_at=int(now),
            # Its window may be as long as its days, and what ends with that is finished after it.
            expires_at=int(now) + (self.files.days + 1) * DAY_S,
            deadline=int(now) + int(window.removesuffix("h")) * 3600,
            completion_window=window,
            endpoint=values["endpoint"],
            input_file_id=values.get("input_file_id", f"file-{name}"),
            metadata=values["metadata"],
        )

    def _again(self, taken: Taken, fingerprint: str) -> Batch:
        """The batch that the same request has made."""
        if taken.fingerprint != fingerprint:
            message = "Idempotency-Key: it was used for another request; use a new one for this"
            raise Conflict(Problem(None, message, "idempotency_key_reused"))
        return self.files.store.batch(taken.batch_id)

    def _keep(self, batch: Batch, content: bytes) -> None:
        """Requests that came with the batch, as its file."""
        id = batch.input_file_id
        file = File(
            id=id,
            created_at=batch.created_at,
            expires_at=batch.created_at + self.files.days * DAY_S,
            filename="requests.jsonl",
            purpose=REQUESTS,
            key=f"files/{id}.jsonl",
            bytes=len(content),
        )
        self.files.objects.put(file.key, content, JSONL)
        self.files.store.add(file)

    def _cancel(self, _request: Request, id: str) -> Answered:
        batch = self._current(id)
        if batch.status in ENDS:
            message = f"batch: {id} is {batch.status} and can't be cancelled"
            raise Conflict(Problem("batch_id", message, "batch_ended"))
        now = int(self.files.store.now())
        running = (VALIDATING, IN_PROGRESS)
        batch = self.files.store.change(id, running, status=CANCELLING, cancelling_at=now) or batch
        if batch.status == CANCELLING:
            self.tasks.ask("stop", id)
        return batch.public()

    def _current(self, id: str) -> Batch:
        """The batch, with what can be seen of a bulk job at work. Raises RecordNotFound."""
        try:
            batch = self.files.store.batch(id)
        except NotThere:
            message = f"batch: {shown(id)} is not there (any more)"
            raise RecordNotFound(Problem("batch_id", message, "batch_not_found")) from None
        if batch.status in (VALIDATING, IN_PROGRESS) and self.files.store.now() > batch.deadline:
            self.tasks.ask("stop", id)
        if batch.engine == BULK and batch.status in DRAWING and batch.images:
            done = len(self.files.objects.keys(BatchKeys(id).results))
            lines = done * batch.total // batch.images
            batch = replace(batch, pictures=done, completed=lines)
        return batch


def _read(body: Mapping[str, Any], most_hours: int) -> tuple[dict[str, Any], bytes | None]:
    """A batch's fields, and the lines that came with it. Raises InvalidRequest."""
    rest = dict(body)
    metadata, requests = rest.pop("metadata", None), rest.pop("requests", None)
    problems = _metadata_problems(metadata)
    content = None
    if isinstance(requests, list) and requests:
        content = b"".join(json.dumps(each).encode() + b"\n" for each in requests)
        if rest.get("endpoint") is None and isinstance(requests[0], dict):
            rest["endpoint"] = requests[0].get("url")
    elif requests is not None:
        message = f"requests: must be a list of at least one, not {json_type(requests)}"
        problems.append(Problem("requests", message, "invalid_type"))
    values, more = read(rest, _FIELDS, ["endpoint"])
    problems += more
    if (requests is None) == (rest.get("input_file_id") is None):
        message = "input_file_id: required, or requests in its place, and not both"
        problems.append(Problem("input_file_id", message, "missing_field"))
    window = values.setdefault("completion_window", "24h")
    hours = _HOURS.fullmatch(window)
    if not hours or int(hours[1]) > most_hours:
        message = f"completion_window: must be 1h to {most_hours}h, such as 24h"
        problems.append(Problem("completion_window", message, "out_of_range"))
    if problems:
        raise InvalidRequest(*problems)
    return {**values, "metadata": metadata}, content


def _metadata_problems(given: Any) -> list[Problem]:
    if given is None:
        return []
    if isinstance(given, dict) and len(given) <= PAIRS:
        checks = ((_METADATA_KEY, key) for key in given)
        more = ((_METADATA_VALUE, value) for value in given.values())
        if all(
            allowed.fits(each) and not allowed.mistake(each) for allowed, each in (*checks, *more)
        ):
            return []
    message = (
        f"metadata: must be an object of at most {PAIRS} texts: names of {_METADATA_KEY.low} to "
        f"{_METADATA_KEY.high} characters, values of up to {_METADATA_VALUE.high}"
    )
    return [Problem("metadata", message, "out_of_range")]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _list(data: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": more,
    }
