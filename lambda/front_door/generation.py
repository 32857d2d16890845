"""What a generation request asks for: checked, typed, and with nothing left to default."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from front_door.errors import InvalidRequest
from sd_contract.fields import PUBLIC, REQUIRED, Problem, read, shown
from sd_contract.invocation import Invocation
from sd_contract.registration import Registration

ResponseFormat = Literal["url", "b64_json"]
T = TypeVar("T")


@dataclass(frozen=True)
class GenerationFields:
    """The body's fields, each in its public range; None: not given."""

    prompt: str
    model: str | None = None
    n: int | None = None
    size: str | None = None
    response_format: ResponseFormat | None = None
    output_format: str | None = None
    output_compression: int | None = None
    negative_prompt: str | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    user: str | None = None


@dataclass(frozen=True)
class GenerationRequest:
    """A request that `variant` can serve."""

    variant: Registration
    invocation: Invocation
    response_format: ResponseFormat


def parse_fields(body: Mapping[str, Any]) -> GenerationFields:
    """Raises InvalidRequest with every problem found."""
    values, problems = read(body, PUBLIC, REQUIRED)
    if problems:
        raise InvalidRequest(*problems)
    return GenerationFields(**values)


def complete(
    fields: GenerationFields, variant: Registration, draw_seed: Callable[[], int]
) -> GenerationRequest:
    """Fills in the variant's defaults and checks its own limits. Raises InvalidRequest."""
    n = _given(fields.n, 1)
    steps = _given(fields.num_inference_steps, variant.default_steps)
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
    served = {str(size): size for size in variant.sizes}
    size = _given(fields.size, str(variant.sizes[0]))
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
        ),
        fields.response_format or "url",
    )


def _given(value: T | None, default: T) -> T:
    return default if value is None else value
