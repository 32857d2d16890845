"""`POST /invocations`: what a container is asked and what it answers.

The front door writes the request and reads the answer, the container the other way round. Nothing
is clamped or guessed: a value outside its range is refused by its name.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

from sd_contract.environment import ServingEnvironment
from sd_contract.fields import (
    DEFAULT_STRENGTH,
    EDIT_PUBLIC,
    OUTPUT_COMPRESSION,
    OUTPUT_FORMAT,
    PUBLIC_NAMES,
    QUALITY,
    Allowed,
    Flag,
    Problem,
    Whole,
    read,
)
from sd_contract.sampling import STANDARD
from sd_contract.seeds import draw_seed, seeds_of
from sd_contract.size import Size

JSON = "application/json"
MEDIA_TYPES = {name: f"image/{name}" for name in OUTPUT_FORMAT.values}
"""By `output_format`."""

STAGES = ("text_encoder", "vae_encode", "denoise", "vae_decode", "encode")
"""Of `timings_ms`, in the order of the work. `vae_encode` is 0 but for edits; `encode` is into
`output_format`."""

INVALID_REQUEST = "invalid_request"
"""The error type of a request that must not be tried again unchanged."""
ENGINE_ERROR = "engine_error"
"""The request was fine, making the picture failed."""

# A side may be anything here; which pairs are served, the container says.
_SIDE = Whole(8, 4_096)
KNOWN: Mapping[str, Allowed] = {
    **{
        inner: _SIDE if name == "size" else EDIT_PUBLIC[name]
        for inner, name in PUBLIC_NAMES.items()
    },
    "quality": QUALITY,
    "embed_prompt": Flag(),
}


class ContainerError(Exception):
    """A container's refusal. `kind` is INVALID_REQUEST or ENGINE_ERROR, and is what counts: what
    stands before a handler (DJL's batches, the Hugging Face toolkit) has its own ideas of status.
    """

    def __init__(
        self, kind: str, message: str, field: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.kind, self.field, self.code = kind, field, code

    def to_json(self) -> bytes:
        error = {"type": self.kind, "param": self.field, "message": str(self), "code": self.code}
        return json.dumps({"error": error}).encode()

    @classmethod
    def from_json(cls, body: str | bytes) -> ContainerError:
        """Raises ValueError for a body that isn't one of these."""
        try:
            error = json.loads(body)["error"]
            kind, message = error["type"], error["message"]
            field, code = _name(error.get("param")), _name(error.get("code"))
        except (KeyError, TypeError, AttributeError) as wrong:
            raise ValueError(f"{type(wrong).__name__}: {wrong}") from None
        return ContainerError(str(kind), str(message), field, code)


class Refused(ContainerError):
    """What is wrong with a request, all of it; `field` and `code` are the first mistake's. Without
    a field the body as a whole is at fault."""

    status = 400
    """HTTP's, of the answer."""

    def __init__(self, *problems: Problem) -> None:
        message = "; ".join(problem.message for problem in problems)
        super().__init__(INVALID_REQUEST, message, problems[0].field, problems[0].code)


@dataclass(frozen=True)
class Edit:
    """`image` and `mask` are files: PNG, JPEG or WebP. At /invocations they are base64, beside the
    rest and not below it."""

    image: bytes
    mask: bytes | None = None
    strength: float = DEFAULT_STRENGTH


@dataclass(frozen=True)
class Invocation:
    """Image i is drawn from `seeds[i]`."""

    prompt: str
    negative_prompt: str
    num_images: int
    size: Size
    num_inference_steps: int
    guidance_scale: float
    seed: int
    output_format: str = OUTPUT_FORMAT.values[0]
    output_compression: int = OUTPUT_COMPRESSION.high
    embed_prompt: bool = True
    """Whether the prompts go into the pictures' metadata."""
    edit: Edit | None = None
    """None: drawn from text alone."""
    quality: str = STANDARD
    """A mode. Its number of steps is `num_inference_steps` all the same."""

    @property
    def seeds(self) -> tuple[int, ...]:
        return seeds_of(self.seed, self.num_images)

    @property
    def strength(self) -> float | None:
        return None if self.edit is None else self.edit.strength

    @property
    def steps_run(self) -> int:
        """The last of the steps, as many as `strength` says (diffusers'
        StableDiffusionImg2ImgPipeline.get_timesteps)."""
        share = 1.0 if self.strength is None else self.strength
        return min(int(self.num_inference_steps * share), self.num_inference_steps)

    def to_json(self) -> bytes:
        """Without what is left at its default: a container older than a field takes the rest."""
        document = {name: value for name, value in vars(self).items() if value != _DEFAULTS[name]}
        document |= vars(document.pop("size"))
        if self.edit is not None:
            given = {name: value for name, value in vars(self.edit).items() if value is not None}
            document.pop("edit")
            document |= {
                name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
                for name, value in given.items()
            }
        return json.dumps(document).encode()

    @classmethod
    def from_json(
        cls, body: bytes, served: ServingEnvironment, draw_seed: Callable[[], int] = draw_seed
    ) -> Invocation:
        """What isn't given is as `served` says; `draw_seed()` gives a seed. Raises Refused."""
        values, problems = read(_json_object(body), KNOWN, required=("prompt",))
        size = _size(values, served.sizes, problems)
        edit = _edit(values, problems)
        quality = values.get("quality", STANDARD)
        if quality not in served.modes:
            message = f"quality: must be {' or '.join(served.modes)} here, not {quality!r}"
            problems.append(Problem("quality", message, "quality_not_served"))
        if problems:
            raise Refused(*problems)
        return cls(
            prompt=values["prompt"],
            negative_prompt=values.get("negative_prompt", ""),
            num_images=values.get("num_images", 1),
            size=size,
            num_inference_steps=values.get("num_inference_steps", served.modes[quality].steps),
            guidance_scale=values.get("guidance_scale", served.default_guidance_scale),
            seed=values["seed"] if "seed" in values else draw_seed(),
            output_format=values.get("output_format", cls.output_format),
            output_compression=values.get("output_compression", cls.output_compression),
            embed_prompt=values.get("embed_prompt", cls.embed_prompt),
            edit=edit,
            quality=quality,
        )


_DEFAULTS = {field.name: field.default for field in dataclass_fields(Invocation)}


@dataclass(frozen=True)
class Answer:
    """Pictures in the order of `seeds`. `timings_ms` by STAGES, of the whole batch that the request
    was part of; `encode` is what is left of it once the last picture is drawn. `engine` says what
    drew them, with `images_in_batch`, `prompt_tokens` and `negative_prompt_tokens`. `warnings` are
    sentences, each of which names a field that did less than it said."""

    images: tuple[bytes, ...]
    seeds: tuple[int, ...]
    timings_ms: Mapping[str, float]
    engine: Mapping[str, Any]
    output_format: str = OUTPUT_FORMAT.values[0]
    warnings: tuple[str, ...] = ()

    @property
    def images_in_batch(self) -> int:
        """These images, and those of requests they were batched with."""
        return int(self.engine["images_in_batch"])

    @property
    def prompt_tokens(self) -> int:
        """Of both prompts, as the encoder counts."""
        return int(self.engine["prompt_tokens"]) + int(self.engine["negative_prompt_tokens"])

    @property
    def instance_ms(self) -> float:
        """What these images took of their instance: their share where they were batched."""
        return sum(self.timings_ms.values()) * len(self.images) / self.images_in_batch

    def to_json(self) -> bytes:
        images = [base64.b64encode(image).decode() for image in self.images]
        return json.dumps({**vars(self), "images": images}).encode()

    @classmethod
    def from_json(cls, body: bytes) -> Answer:
        """Raises ContainerError where the body is an error's, ValueError where it is neither.

        What a container older than the caller doesn't report counts as nothing: a deploy moves the
        front door before the endpoints.
        """
        try:
            document = json.loads(body)
            if "error" in document:
                raise ContainerError.from_json(body)
            timings = document["timings_ms"]
            return cls(
                images=tuple(
                    base64.b64decode(image, validate=True) for image in document["images"]
                ),
                seeds=tuple(document["seeds"]),
                timings_ms={stage: _ms(timings.get(stage, 0)) for stage in STAGES},
                engine=_engine(document["engine"]),
                output_format=_output_format(document.get("output_format", cls.output_format)),
                warnings=tuple(_text(warning) for warning in document.get("warnings", ())),
            )
        except (KeyError, TypeError, AttributeError, binascii.Error) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        # ValueError: bad JSON, bad UTF-8, or a number of thousands of digits.
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(
            Problem(None, "the body is not valid JSON in UTF-8", "invalid_json")
        ) from None
    if not isinstance(document, dict):
        raise Refused(Problem(None, "the body must be a JSON object", "invalid_json"))
    return document


def _size(values: Mapping[str, Any], served: Sequence[Size], problems: list[Problem]) -> Size:
    """The size asked for, or the first; a mistake goes into `problems`."""
    given = [side for side in ("height", "width") if side in values]
    if not given or any(problem.field in ("height", "width") for problem in problems):
        return served[0]
    if len(given) == 1:
        missing = "width" if given == ["height"] else "height"
        message = f"{missing}: required, as height and width go together"
        problems.append(Problem(missing, message, "missing_field"))
        return served[0]
    size = Size(values["width"], values["height"])
    if size not in served:
        field = "width" if any(size.height == each.height for each in served) else "height"
        names = ", ".join(map(str, served))
        message = f"{field}: {size} is not served; width x height is one of {names}"
        problems.append(Problem(field, message, "size_not_served"))
    return size


def _edit(values: Mapping[str, Any], problems: list[Problem]) -> Edit | None:
    """Mistakes go into `problems`."""
    if "image" not in values:
        problems += [
            Problem(name, f"{name}: only together with image", "missing_field")
            for name in ("mask", "strength")
            if name in values
        ]
        return None
    files: dict[str, bytes] = {}
    for name in ("image", "mask"):
        try:
            if name in values:
                files[name] = base64.b64decode(values[name], validate=True)
        except ValueError:  # also for what isn't ASCII
            problems.append(Problem(name, f"{name}: must be base64 text", "invalid_base64"))
    return Edit(files.get("image", b""), files.get("mask"), values.get("strength", Edit.strength))


_COUNTED = {"images_in_batch": 1, "prompt_tokens": 0, "negative_prompt_tokens": 0}
"""Of an answer's `engine`: the least each can be."""


def _engine(value: Any) -> Mapping[str, Any]:
    engine = {"prompt_tokens": 0, "negative_prompt_tokens": 0, **value}
    for name, least in _COUNTED.items():
        if type(engine[name]) is not int or engine[name] < least:
            raise TypeError(f"{name} is {engine[name]!r}")
    return engine


def _output_format(value: Any) -> str:
    if value not in OUTPUT_FORMAT.values:
        raise TypeError(f"{value!r} is not an output format")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _name(value: Any) -> str | None:
    if not isinstance(value, str | None):
        raise TypeError(f"{value!r} is not a name")
    return value


def _ms(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise TypeError(f"{value!r} is not a number of milliseconds")
    return float(value)
