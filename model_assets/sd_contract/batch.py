"""A batch's work and results as S3 holds them.

The functions write the work; whoever draws (a function, or the bulk job's container) writes each
picture and its result, under names that make written twice written once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sd_contract.fields import PUBLIC_NAMES, Whole
from sd_contract.invocation import ENGINE_ERROR, Answer, ContainerError, Edit, Invocation
from sd_contract.seeds import seeds_of
from sd_contract.size import Size

LINES = 50_000
"""OpenAI's limits of a batch's file (API reference, Create batch), as is the next."""
FILE_BYTES = 200 * 1024**2
LINE_IMAGES = Whole(1, 100)
"""A line's `n`."""
PICTURES = 200_000
"""Of a batch. As many links as a function signs before the gateway gives up."""
PART_PICTURES = 100
"""What a part of the work holds at most: what the bulk job's instances share out is parts."""

_FILES = ("image", "mask")
"""An edit's, which work lines have by their keys."""
_TOKENS = ("prompt_tokens", "negative_prompt_tokens")


@dataclass(frozen=True)
class BatchKeys:
    """Of a batch's objects, all below `folder`."""

    batch_id: str

    @property
    def folder(self) -> str:
        return f"batches/{self.batch_id}/"

    @property
    def work(self) -> str:
        """The folder of the work's parts."""
        return f"{self.folder}work/"

    def part(self, number: int) -> str:
        return f"{self.work}part-{number:05d}.jsonl"

    def edit(self, digest: str) -> str:
        """`digest` is the picture's SHA-256, in hex."""
        return f"{self.folder}edits/{digest}"

    def picture(self, unit: Unit) -> str:
        return f"{self.folder}pictures/{unit.name}.{unit.output_format}"

    @property
    def results(self) -> str:
        """The folder of the results."""
        return f"{self.folder}results/"

    def result(self, unit: Unit | UnitResult) -> str:
        return f"{self.results}{unit.name}.json"

    @property
    def output(self) -> str:
        return f"{self.folder}output.jsonl"

    @property
    def errors(self) -> str:
        return f"{self.folder}errors.jsonl"


@dataclass(frozen=True)
class WorkLine:
    """A checked line of a batch, the `line`-th of its file, counted from 1. `invocation` is as
    `Invocation.to_json` writes it, but for `num_images`, which is the line's n of LINE_IMAGES, and
    an edit's files, which are keys."""

    line: int
    custom_id: str
    invocation: Mapping[str, Any]

    @classmethod
    def of(
        cls, line: int, custom_id: str, invocation: Invocation, key: Callable[[bytes], str]
    ) -> WorkLine:
        """`key` gives an edit's file's."""
        document: dict[str, Any] = json.loads(invocation.to_json())
        if edit := invocation.edit:
            files = {"image": edit.image, "mask": edit.mask}
            document |= {name: key(file) for name, file in files.items() if file is not None}
        return cls(line, custom_id, document)

    @property
    def images(self) -> int:
        return int(self.invocation["num_images"])

    @property
    def size(self) -> Size:
        return Size(self.invocation["width"], self.invocation["height"])

    @property
    def units(self) -> Iterator[Unit]:
        for image, seed in enumerate(seeds_of(self.invocation["seed"], self.images)):
            alone = {**self.invocation, "num_images": 1, "seed": seed}
            yield Unit(self.line, image, alone, self.images)

    def to_json(self) -> str:
        """One line, without its end."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> WorkLine:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Unit:
    """One picture: image `image`, counted from 0, of a line. `invocation` is as a WorkLine's, with
    a `num_images` of 1 and this picture's seed; `line_images` is how many the line has."""

    line: int
    image: int
    invocation: Mapping[str, Any]
    line_images: int

    @property
    def seed(self) -> int:
        return int(self.invocation["seed"])

    @property
    def name(self) -> str:
        """Unlike any other's of the batch; the same whenever the unit is drawn."""
        return _name(self.line, self.seed)

    @property
    def output_format(self) -> str:
        return str(self.invocation.get("output_format", Invocation.output_format))

    def asked(self, load: Callable[[str], bytes]) -> Invocation:
        """What to draw; `load` gives the bytes of an edit's file by its key."""
        values = dict(self.invocation)
        size = Size(values.pop("width"), values.pop("height"))
        files = {name: load(values.pop(name)) for name in _FILES if name in values}
        edit = None
        if files:
            edit = Edit(**files, strength=values.pop("strength", Edit.strength))
        return Invocation(**values, size=size, edit=edit)

    def to_json(self) -> str:
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Unit:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class UnitResult:
    """How a unit ended: `key` is its picture's, or `error` says why there is none, as the API's
    errors do (`message`, `type`, `param`, `code`). The rest is the Answer's."""

    line: int
    image: int
    seed: int
    key: str | None = None
    error: Mapping[str, Any] | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    engine: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @classmethod
    def drawn(cls, unit: Unit, key: str, answer: Answer) -> UnitResult:
        """Of an answer of one picture."""
        return cls(
            unit.line,
            unit.image,
            unit.seed,
            key=key,
            timings_ms=answer.timings_ms,
            engine=answer.engine,
            warnings=answer.warnings,
        )

    @classmethod
    def refused(cls, unit: Unit, error: ContainerError) -> UnitResult:
        """An engine's own failure tells nothing internal."""
        if error.kind == ENGINE_ERROR:
            return cls.failed(unit, "The picture could not be drawn.", "engine_error")
        param = error.field and PUBLIC_NAMES.get(error.field, error.field)
        code = error.code or "out_of_range"
        return cls.failed(unit, str(error), code, "invalid_request_error", param)

    @classmethod
    def failed(
        cls,
        unit: Unit,
        message: str,
        code: str,
        kind: str = "server_error",
        param: str | None = None,
    ) -> UnitResult:
        error = {"message": message, "type": kind, "param": param, "code": code}
        return cls(unit.line, unit.image, unit.seed, error=error)

    @property
    def name(self) -> str:
        """Its unit's."""
        return _name(self.line, self.seed)

    @property
    def instance_ms(self) -> float:
        """What it took of its instance."""
        images = self.engine.get("images_in_batch", 1)
        return sum(self.timings_ms.values()) / int(images)

    @property
    def input_tokens(self) -> int:
        """Of its prompts; once a line."""
        return sum(self.engine.get(name, 0) for name in _TOKENS) if self.image == 0 else 0

    def to_json(self) -> str:
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> UnitResult:
        document = json.loads(text)
        return cls(**{**document, "warnings": tuple(document["warnings"])})


def _name(line: int, seed: int) -> str:
    return f"{line:06d}-{seed}"
