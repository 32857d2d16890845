"""The API's fields: what each may be, and how a JSON object is read by that.

The front door reads a caller's body with the public names, a container its invocation with
diffusers' names; ranges, wording and codes are the same, being these.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sd_contract.seeds import SEEDS

# JSON can spell half of a surrogate pair, which no UTF-8 text can hold.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Problem:
    """One mistake: `message` names the field and what it may be. Codes: unknown_field,
    missing_field, invalid_type, out_of_range."""

    field: str | None
    """None where the body as a whole is at fault."""
    message: str
    code: str


@dataclass(frozen=True)
class Text:
    """A string of `low` to `high` characters, both ends included; `high` None: any length."""

    low: int = 0
    high: int | None = None

    @property
    def expected(self) -> str:
        return (
            "a string" if self.high is None else f"a string of {self.low} to {self.high} characters"
        )

    def fits(self, value: Any) -> bool:
        return isinstance(value, str)

    def mistake(self, value: str) -> str | None:
        if _LONE_SURROGATE.search(value):
            return "must be valid Unicode text"
        if self.high is not None and not self.low <= len(value) <= self.high:
            return f"must have {self.low} to {self.high} characters, not {len(value)}"
        return None

    def schema(self) -> dict[str, Any]:
        ends = {} if self.high is None else {"minLength": self.low, "maxLength": self.high}
        return {"type": "string", **ends}


@dataclass(frozen=True)
class Number:
    """A finite number; both ends belong to the range. JSON has one type for all numbers: 1 is the
    number 1.0, and 1.0 the integer 1 (JSON Schema, 6.1.1)."""

    low: float
    high: float
    kind: ClassVar[type[float]] = float
    """Python's, of a value."""

    @property
    def expected(self) -> str:
        return f"a number from {self.low} to {self.high}"

    def fits(self, value: Any) -> bool:
        return type(value) in (int, float)

    def mistake(self, value: float) -> str | None:
        # Also for NaN, which Python's JSON lets through.
        if self.low <= value <= self.high:
            return None
        return f"must be {self.expected}, not {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.low, "maximum": self.high}


class Whole(Number):
    """An integer."""

    low: int
    high: int
    kind: ClassVar[type[float]] = int

    @property
    def expected(self) -> str:
        return f"an integer from {self.low} to {self.high}"

    def fits(self, value: Any) -> bool:
        # To isinstance, a bool is an int.
        return type(value) is int or (type(value) is float and value.is_integer())

    def schema(self) -> dict[str, Any]:
        return {**super().schema(), "type": "integer"}


@dataclass(frozen=True)
class Choice:
    values: tuple[str, ...]

    @property
    def expected(self) -> str:
        return "a string"

    def fits(self, value: Any) -> bool:
        return isinstance(value, str)

    def mistake(self, value: str) -> str | None:
        choice = ", ".join(self.values)
        return None if value in self.values else f"must be one of {choice}, not {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.values)}


@dataclass(frozen=True)
class Flag:
    @property
    def expected(self) -> str:
        return "a boolean"

    def fits(self, value: Any) -> bool:
        return isinstance(value, bool)

    def mistake(self, value: bool) -> str | None:  # noqa: ARG002 - both are right
        return None

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


Allowed = Text | Number | Choice | Flag


@dataclass(frozen=True)
class Field:
    """`name` is OpenAI's where OpenAI has the field, else diffusers'; `container` are the names at
    /invocations, none for what ends at the front door. `default` is what counts where the field
    isn't given: of a Number or a Choice the value itself, if it is always the same; else in words
    where the value comes from, empty where there is none. A field with None is required."""

    name: str
    allowed: Allowed
    container: tuple[str, ...]
    about: str
    default: str | float | None


PROMPT = Text(1, 1000)
NEGATIVE_PROMPT = Text(0, 1000)
IMAGES = Whole(1, 4)
STEPS = Whole(1, 100)
GUIDANCE_SCALE = Number(1.0, 20.0)
QUALITY = Choice(("standard", "fast"))
"""The modes; what they are, `sd_contract.sampling` says."""
SEED = Whole(0, SEEDS - 1)
OUTPUT_FORMAT = Choice(("png", "jpeg", "webp"))
OUTPUT_COMPRESSION = Whole(0, 100)
STRENGTH = Number(0.0, 1.0)
DEFAULT_STRENGTH = 0.75

GENERATION = (
    Field("prompt", PROMPT, ("prompt",), "What the picture shows.", None),
    Field(
        "model", Text(), (), "A variant's `id` in `GET /models`.", "the one marked `default` there"
    ),
    Field(
        "n",
        IMAGES,
        ("num_images",),
        "Images. Image i is drawn from seed + i (mod 2³²), so any of them can be made again alone. "
        "A variant may allow fewer: its `max_images`.",
        1,
    ),
    Field(
        "size",
        Text(),
        ("width", "height"),
        "Width x height, one of the variant's `sizes`.",
        "its first",
    ),
    Field(
        "response_format",
        Choice(("url", "b64_json")),
        (),
        "`url`: a presigned link that works for an hour unless set otherwise. `b64_json`: the "
        "picture itself, as far as all of them fit into 6 MB.",
        "url",
    ),
    Field(
        "output_format",
        OUTPUT_FORMAT,
        ("output_format",),
        "Of the pictures.",
        OUTPUT_FORMAT.values[0],
    ),
    Field(
        "output_compression",
        OUTPUT_COMPRESSION,
        ("output_compression",),
        "Quality of `jpeg` and `webp`: 100 is the best and the largest. `png` loses nothing and "
        "takes no notice.",
        OUTPUT_COMPRESSION.high,
    ),
    Field(
        "quality",
        Choice(("auto", *QUALITY.values)),
        ("quality",),
        "How much work goes into a picture: a mode, which is a variant's own sampling, in its "
        "`modes`. `auto` is `standard`. A seed draws another picture in another mode.",
        QUALITY.values[0],
    ),
    Field("negative_prompt", NEGATIVE_PROMPT, ("negative_prompt",), "What to keep out of it.", ""),
    Field(
        "num_inference_steps",
        STEPS,
        ("num_inference_steps",),
        "What can't be done within the gateway's time limit, by the variant's `seconds_per_step` "
        "and what its last answers took, is refused with what would fit.",
        "those of the `quality`: the variant's `modes`",
    ),
    Field(
        "guidance_scale",
        GUIDANCE_SCALE,
        ("guidance_scale",),
        "1: the prompt only, without guidance.",
        "the variant's `default_guidance_scale`",
    ),
    Field("seed", SEED, ("seed",), "Of the first image; echoed.", "drawn at random"),
    Field(
        "store",
        Flag(),
        (),
        "Whether the gallery keeps the pictures and what they were drawn by, for `GET /pictures` "
        "and `GET /similar`: each then has an `id`, and is found by it some seconds later.",
        "what `sd.gallery.store` says, which is false unless set otherwise",
    ),
    Field("user", Text(), (), "Your user's id; logged as a hash only.", ""),
)
EDIT = (
    *GENERATION,
    Field(
        "image",
        Text(),
        ("image",),
        "The picture to start from: PNG, JPEG or WebP, at most 4096 pixels a side. Scaled and "
        "centre-cropped to `size`.",
        None,
    ),
    Field(
        "mask",
        Text(),
        ("mask",),
        "A picture as large as `image`, whose transparent parts (alpha 0) are drawn anew. All else "
        "stays as it is, to the pixel.",
        "",
    ),
    Field(
        "strength",
        STRENGTH,
        ("strength",),
        "How far from `image`: that share of the steps is done. 0: not at all. 1: nothing of it is "
        "seen.",
        DEFAULT_STRENGTH,
    ),
)
PUBLIC: Mapping[str, Allowed] = {field.name: field.allowed for field in GENERATION}
REQUIRED = tuple(field.name for field in GENERATION if field.default is None)
EDIT_PUBLIC: Mapping[str, Allowed] = {field.name: field.allowed for field in EDIT}
EDIT_REQUIRED = tuple(field.name for field in EDIT if field.default is None)
PUBLIC_NAMES: Mapping[str, str] = {inner: field.name for field in EDIT for inner in field.container}
"""By the container's name."""


def read(
    body: Mapping[str, Any], known: Mapping[str, Allowed], required: Iterable[str]
) -> tuple[dict[str, Any], list[Problem]]:
    """The values given, and every mistake: a value with one is left out. A null is not given."""
    problems = [
        Problem(name, f"{name}: unknown field (known: {', '.join(known)})", "unknown_field")
        for name in (shown(key)[1:-1] for key in body if key not in known)
    ]
    values: dict[str, Any] = {}
    for name, allowed in known.items():
        value = body.get(name)
        if value is None:
            if name in required:
                message = f"{name}: required, {allowed.expected}"
                problems.append(Problem(name, message, "missing_field"))
            continue
        if not allowed.fits(value):
            message = f"{name}: must be {allowed.expected}, not {json_type(value)}"
            problems.append(Problem(name, message, "invalid_type"))
        elif mistake := allowed.mistake(value):
            problems.append(Problem(name, f"{name}: {mistake}", "out_of_range"))
        else:
            values[name] = allowed.kind(value) if isinstance(allowed, Number) else value
    return values, problems


def shown(value: object) -> str:
    """`value` for a message: short, and in characters that any terminal and encoder takes."""
    try:
        text = ascii(value)
    except ValueError:  # an integer of thousands of digits
        return "a number too long to show"
    return text if len(text) <= 60 else f"{text[:57]}..."


def json_type(value: object) -> str:
    """As JSON calls it, with its article; a scalar of the wrong type as it stands."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, float) and not math.isfinite(value):
        return "a non-finite number"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return shown(value)
