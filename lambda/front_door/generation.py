"""What a request asks for: checked, typed, and with nothing left to default."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from front_door import openai_fields
from front_door.errors import InvalidRequest
from front_door.openai_fields import OpenAiField
from front_door.request_body import PICTURES
from sd_contract import fields as contract
from sd_contract.batch import LINE_IMAGES
from sd_contract.fields import Allowed, Choice, Field, Problem, Text, read, shown
from sd_contract.invocation import Invocation
from sd_contract.registration import Registration
from sd_contract.sampling import STANDARD

ResponseFormat = Literal["url", "b64_json"]
T = TypeVar("T")

AUTO = "auto"
"""As a size or quality: OpenAI's word for the model's own choice."""
SAFETY_IDENTIFIER = Field(
    "safety_identifier",
    Text(),
    (),
    "OpenAI's newer name for `user`, which it comes before.",
    "",
)


@dataclass(frozen=True)
class Form:
    """The fields of one route. `openai` are those of OpenAI's that offer no choice."""

    fields: tuple[Field, ...]
    openai: tuple[OpenAiField, ...]

    @property
    def known(self) -> Mapping[str, Allowed]:
        return {field.name: field.allowed for field in self.fields}

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields if field.default is None)


GENERATION = Form((*contract.GENERATION, SAFETY_IDENTIFIER), openai_fields.GENERATION)
EDIT = Form((*contract.EDIT, SAFETY_IDENTIFIER), openai_fields.EDIT)


_LINE: Mapping[str, Mapping[str, Any]] = {
    "n": {
        "allowed": LINE_IMAGES,
        "about": "Images, each as a request of its own would have it: image i from seed + i "
        "(mod 2³²).",
    },
    "response_format": {
        "allowed": Choice(("url",)),
        "about": "An output file's pictures are links.",
    },
}
"""What a line's field has otherwise than a request's."""
_STORE = OpenAiField(
    "store",
    (False,),
    "A batch's pictures lie with its results for some days; the gallery doesn't keep them.",
)


def line_form(form: Form) -> Form:
    """A request's as a line of a batch has it."""
    fields = (
        replace(field, **_LINE.get(field.name, {}))
        for field in form.fields
        if field.name != _STORE.name
    )
    return Form(tuple(fields), (*form.openai, _STORE))


@dataclass(frozen=True)
class RequestFields:
    """The body's fields, each in its public range; None: not given. `image` and `mask` are files,
    or texts that say where they are."""

    prompt: str
    model: str | None = None
    n: int | None = None
    size: str | None = None
    response_format: ResponseFormat | None = None
    output_format: str | None = None
    output_compression: int | None = None
    quality: str | None = None
    negative_prompt: str | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    store: bool | None = None
    user: str | None = None
    safety_identifier: str | None = None
    image: str | bytes | None = None
    mask: str | bytes | None = None
    strength: float | None = None

    @property
    def end_user(self) -> str | None:
        return self.safety_identifier or self.user


@dataclass(frozen=True)
class GenerationRequest:
    """A request that `variant` can serve."""

    variant: Registration
    invocation: Invocation
    response_format: ResponseFormat


def parse_fields(body: Mapping[str, Any], form: Form) -> RequestFields:
    """Raises InvalidRequest with every problem found."""
    rest, problems = openai_fields.parted(body, form.openai)
    files = {name: rest.pop(name) for name in PICTURES if isinstance(rest.get(name), bytes)}
    known = {name: allowed for name, allowed in form.known.items() if name not in files}
    values, more = read(rest, known, [name for name in form.required if name in known])
    problems += more
    if problems:
        raise InvalidRequest(*problems)
    return RequestFields(**values, **files)


def complete(
    fields: RequestFields, variant: Registration, draw_seed: Callable[[], int]
) -> GenerationRequest:
    """Fills in the variant's defaults and checks its own limits; an edit's pictures are still
    missing. Raises InvalidRequest."""
    n = _given(fields.n, 1)
    quality = STANDARD if fields.quality in (None, AUTO) else fields.quality
    modes = variant.served_modes
    mode = modes.get(quality)
    # Without the mode that is asked for there is no number to check.
    steps = _given(fields.num_inference_steps, mode.sampling.steps if mode else 1)
    problems = [
        Problem(
            name,
            f"{name}: must be at most {ceiling} for model {variant.name!r}, not {value}",
            "out_of_range",
        )
        for name, value, ceiling in (
            ("n", n, variant.max_images),
            ("num_inference_steps", steps, variant.max_steps),
        )
        if value > ceiling
    ]
    if mode is None:
        message = f"quality: model {variant.name!r} serves {', '.join(modes)}, not {quality!r}"
        problems.append(Problem("quality", message, "quality_not_served"))
    served = {str(size): size for size in variant.sizes}
    size = str(variant.sizes[0]) if fields.size in (None, AUTO) else fields.size
    if size not in served:
        message = f"size: model {variant.name!r} serves {', '.join(served)}, not {shown(size)}"
        problems.append(Problem("size", message, "size_not_served"))
    if problems:
        raise InvalidRequest(*problems)
    return GenerationRequest(
        variant,
        Invocation(
            prompt=fields.prompt,
            negative_prompt=fields.negative_prompt or "",
            num_images=n,
            size=served[size],
            num_inference_steps=steps,
            guidance_scale=_given(fields.guidance_scale, variant.default_guidance_scale),
            seed=draw_seed() if fields.seed is None else fields.seed,
            output_format=_given(fields.output_format, Invocation.output_format),
            output_compression=_given(fields.output_compression, Invocation.output_compression),
            quality=quality,
        ),
        fields.response_format or "url",
    )


def _given(value: T | None, default: T) -> T:
    return default if value is None else value
