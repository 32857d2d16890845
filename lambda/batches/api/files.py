"""The API's files: batches' requests, and what came of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from batches.objects import JSONL, ObjectNotThere, Objects
from batches.records import REQUESTS, File
from batches.store import NotThere, Store, new_id
from front_door.errors import InvalidRequest, RecordNotFound
from front_door.multipart import Part
from front_door.request_body import RawBody, parse_body_or_parts, part_text
from front_door.routing import read_query
from sd_contract.batch import FILE_BYTES
from sd_contract.fields import Allowed, Choice, Problem, Text, Whole, read, shown
from sd_contract.limits import LAMBDA_BYTES

DAY_S = 86_400
_PURPOSE: Mapping[str, Allowed] = {"purpose": Choice((REQUESTS,))}
_ANNOUNCED: Mapping[str, Allowed] = {
    **_PURPOSE,
    "filename": Text(1, 255),
    "bytes": Whole(1, FILE_BYTES),
}


@dataclass(frozen=True)
class Files:
    store: Store
    objects: Objects
    days: int
    """How long they are kept."""

    def upload(self, body: RawBody) -> dict[str, Any]:
        """Of a form, the file; of a JSON object, where to PUT it, which is for files larger than
        the gateway and Lambda carry (6 MB with the form's bytes in base64: 4.5). Raises
        InvalidRequest, BodyTooLarge."""
        parsed = parse_body_or_parts(body, LAMBDA_BYTES)
        if isinstance(parsed, list):
            filename, content = _form(parsed)
            file = self.new(filename, REQUESTS, len(content))
            self.objects.put(file.key, content, JSONL)
            self.store.add(file)
            return file.public()
        values, problems = read(parsed, _ANNOUNCED, _ANNOUNCED)
        if problems:
            raise InvalidRequest(*problems)
        size = values["bytes"]
        file = replace(self.new(values["filename"], REQUESTS, 0), upload_bytes=size)
        self.store.add(file)
        return {**file.public(), "upload_url": self.objects.upload_url(file.key, size)}

    def new(self, filename: str, purpose: str, size: int) -> File:
        now = self.store.now()
        name = new_id(now)
        expires_at = int(now) + self.days * DAY_S
        key = f"files/file-{name}.jsonl"
        return File(f"file-{name}", int(now), expires_at, filename, purpose, key, size)

    def find(self, id: str, field: str = "file_id") -> File:
        """Raises RecordNotFound, of `field`."""
        try:
            file = self.store.file(id)
        except NotThere:
            raise _no_file(id, field) from None
        if file.upload_bytes:
            size = self.objects.size(file.key)
            if size is not None:
                self.store.stored(id, size)
                file = replace(file, bytes=size, upload_bytes=0)
        return file

    def requests(self, id: str) -> File:
        """A file that can be a batch's. Raises RecordNotFound, InvalidRequest."""
        file = self.find(id, "input_file_id")
        if file.purpose != REQUESTS:
            message = f"input_file_id: {id!r} has the purpose {file.purpose}, not {REQUESTS}"
            raise InvalidRequest(Problem("input_file_id", message, "wrong_purpose"))
        if file.upload_bytes:
            raise InvalidRequest(not_uploaded("input_file_id", id))
        return file

    def delete(self, id: str) -> dict[str, Any]:
        """Raises RecordNotFound."""
        file = self.find(id)
        self.objects.delete(file.key)
        self.store.delete_file(id)
        return {"id": id, "object": "file", "deleted": True}

    def content(self, file: File) -> bytes:
        """Raises RecordNotFound."""
        try:
            return self.objects.read(file.key)
        except ObjectNotThere:
            raise _no_file(file.id, "file_id") from None


def _form(parts: list[Part]) -> tuple[str, bytes]:
    """A file's name and content."""
    texts: dict[str, Any] = {}
    file: Part | None = None
    for part in parts:
        if part.name == "file" and part.filename is not None and file is None:
            file = part
        else:
            texts[part.name] = part_text(part)
    _, problems = read(texts, _PURPOSE, _PURPOSE)
    if file is None:
        problems.append(Problem("file", "file: required, one file", "missing_field"))
    if file is None or problems:
        raise InvalidRequest(*problems)
    if not file.data:
        raise InvalidRequest(Problem("file", "file: is empty", "out_of_range"))
    return (file.filename or "file")[:255], file.data


def _no_file(id: str, field: str) -> RecordNotFound:
    message = f"{field}: {shown(id)} is not there (any more)"
    return RecordNotFound(Problem(field, message, "file_not_found"))


def not_uploaded(field: str, id: str) -> Problem:
    message = f"{field}: {id!r} is not uploaded yet: PUT it to its upload_url"
    return Problem(field, message, "not_uploaded")


def query(given: Mapping[str, Any], most: int, default: int) -> tuple[int, str]:
    """A list's `limit` and `after`. Raises InvalidRequest."""
    known: Mapping[str, Allowed] = {"after": Text(0, 80), "order": Choice(("desc",))}
    values, limit = read_query(given, known, most, default)
    return limit, values.get("after", "")
