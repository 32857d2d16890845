"""A batch's lines: each checked as the request it is, before anything runs."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from batches.records import EDITS, Batch
from front_door.edit_pictures import load_edit
from front_door.errors import BodyTooLarge, InvalidRequest, RequestError
from front_door.generation import EDIT, GENERATION, Form, complete, line_form, parse_fields
from front_door.picture_bucket import PictureBucket
from front_door.picture_time import registered_time
from front_door.request_body import parse_json
from front_door.variants import VariantRegistry
from sd_contract.batch import LINES, PICTURES, WorkLine
from sd_contract.fields import Allowed, Choice, Problem, Text, json_type, read, shown
from sd_contract.limits import INVOCATION_BYTES, INVOCATION_S
from sd_contract.registration import Registration
from sd_contract.seeds import SEEDS

MOST_ERRORS = 100
"""Shown of a batch: DynamoDB's items have 400 KB at most."""
LINE_BYTES = 16 * 1024**2
"""Of an edit with its picture and mask in base64."""
# In memory, with what an edit begins with.
_AT_ONCE = 1_000
# At once, for lines whose pictures are fetched.
_WORKERS = 16
_CUSTOM_ID = Text(1, 512)


@dataclass(frozen=True)
class LineError:
    """`line` is None where it's the batch's as a whole."""

    line: int | None
    problem: Problem

    def document(self) -> dict[str, Any]:
        problem = self.problem
        where = {"line": self.line, "param": problem.field and problem.field[:100]}
        return {"code": problem.code, "message": problem.message[:1000], **where}


@dataclass(frozen=True)
class CheckedLine:
    """`seconds`: of one of its pictures; `size`: of an edit's invocation, in bytes."""

    work: WorkLine
    variant: Registration
    seconds: float
    size: int


@dataclass(frozen=True)
class Checked:
    lines: tuple[CheckedLine, ...]
    errors: tuple[LineError, ...]

    @property
    def images(self) -> int:
        return sum(line.work.images for line in self.lines)


@dataclass(frozen=True)
class Checker:
    registry: VariantRegistry
    pictures: PictureBucket
    embed_prompt: bool
    most_lines: int = LINES
    most_pictures: int = PICTURES
    line_bytes: int = LINE_BYTES

    def check(self, lines: Iterable[bytes], batch: Batch, keep: Callable[[bytes], str]) -> Checked:
        """The same of the same lines, whenever it is called. `keep` puts an edit's file into the
        bucket and gives its key. Raises RegistryError, StorageError."""
        form = line_form(EDIT if batch.endpoint == EDITS else GENERATION)

        def check(numbered: tuple[int, bytes]) -> CheckedLine | list[LineError]:
            number, text = numbered
            try:
                return self._line(number, text, batch, form, keep)
            except RequestError as error:
                return [LineError(number, problem) for problem in error.problems]

        found: list[CheckedLine] = []
        errors: list[LineError] = []
        with ThreadPoolExecutor(_WORKERS) as pool:
            numbered = islice(_numbered(lines), self.most_lines + 1)
            while some := list(islice(numbered, _AT_ONCE)):
                for each in pool.map(check, some):
                    if isinstance(each, list):
                        errors += each
                    else:
                        found.append(each)
        errors += self._of_all(found, errors)
        return Checked(tuple(found), tuple(errors))

    def _line(
        self,
        number: int,
        text: bytes,
        batch: Batch,
        form: Form,
        keep: Callable[[bytes], str],
    ) -> CheckedLine:
        if len(text) > self.line_bytes:
            message = f"the line has more than {self.line_bytes} bytes"
            raise BodyTooLarge(Problem(None, message, "body_too_large"))
        line = parse_json(text, "the line")
        body = line.pop("body", None)
        known: Mapping[str, Allowed] = {
            "custom_id": _CUSTOM_ID,
            "method": Choice(("POST",)),
            "url": Choice((batch.endpoint,)),
        }
        values, problems = read(line, known, ("custom_id", "url"))
        if not isinstance(body, dict):
            message = f"body: required, an object, not {json_type(body)}"
            problems.append(Problem("body", message, "invalid_type"))
        if problems:
            raise InvalidRequest(*problems)
        fields = parse_fields(body, form)
        images = fields.n or 1
        variant = self.registry.resolve(fields.model)
        # A picture at a time, whatever a request may have.
        request = complete(replace(fields, n=1), variant, lambda: _seed(batch, number))
        edit = None
        if fields.image is not None:
            edit = load_edit(fields.image, fields.mask, fields.strength, self.pictures)
        alone = replace(request.invocation, embed_prompt=self.embed_prompt, edit=edit)
        request = replace(request, invocation=alone)
        work = WorkLine.of(number, values["custom_id"], replace(alone, num_images=images), keep)
        seconds = registered_time(request).of(alone.steps_run)
        return CheckedLine(work, variant, seconds, len(alone.to_json()) if edit else 0)

    def _of_all(
        self, lines: Sequence[CheckedLine], others: Sequence[LineError]
    ) -> Iterator[LineError]:
        """What is wrong with the lines together."""
        if not lines and not others:
            yield LineError(None, Problem(None, "the file has no requests", "empty_file"))
        # A line has one error or more.
        if len(lines) + len({error.line for error in others}) > self.most_lines:
            message = f"the file has more than {self.most_lines} lines: split it"
            yield LineError(None, Problem(None, message, "too_many_requests"))
        images = sum(line.work.images for line in lines)
        if images > self.most_pictures:
            message = f"n: the lines ask for {images} pictures; a batch has {self.most_pictures}"
            yield LineError(None, Problem("n", message, "too_many_pictures"))
        first: dict[str, int] = {}
        for line in lines:
            number, id = line.work.line, line.work.custom_id
            if first.setdefault(id, number) != number:
                message = f"custom_id: {shown(id)} is that of line {first[id]} too"
                yield LineError(number, Problem("custom_id", message, "duplicate_custom_id"))
            if (name := line.variant.name) != lines[0].variant.name:
                message = (
                    f"model: {name!r}, where line {lines[0].work.line} has "
                    f"{lines[0].variant.name!r}: a batch is drawn by one model"
                )
                yield LineError(number, Problem("model", message, "mixed_models"))


def _seed(batch: Batch, line: int) -> int:
    """As good as drawn. A check that is done twice, even at once, must write the same work."""
    digest = hashlib.sha256(f"{batch.id} {line}".encode()).digest()
    return int.from_bytes(digest) % SEEDS


def fits_requests(lines: Iterable[CheckedLine]) -> list[LineError]:
    """What of the lines can't be a request to an endpoint, picture by picture."""
    errors = []
    for line in lines:
        number, name = line.work.line, line.variant.name
        if line.seconds > INVOCATION_S:
            message = (
                f"num_inference_steps, size: a picture would take about {line.seconds:.0f} s on "
                f"model {name!r}, whose endpoint has {INVOCATION_S} s: ask for less, or for "
                "another engine by the batch's metadata"
            )
            errors.append(LineError(number, Problem("num_inference_steps", message, "too_slow")))
        if line.size > INVOCATION_BYTES:
            message = (
                f"image, mask: the request takes {line.size} bytes with the pictures in base64, "
                f"and SageMaker carries {INVOCATION_BYTES}: send smaller ones, or ask for another "
                "engine by the batch's metadata"
            )
            errors.append(LineError(number, Problem("image", message, "body_too_large")))
    return errors


def _numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Without those that are empty, which count."""
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())
