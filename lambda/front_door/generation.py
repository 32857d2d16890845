"""What a generation request asks for: checked, typed, and with nothing left to default."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from front_door.config import IntRange, Limits, NumberRange
from front_door.errors import InvalidRequest, Problem
from front_door.variants import Size, Variant

ResponseFormat = Literal["url", "b64_json"]

FIELDS = (
    "prompt",
    "model",
    "n",
    "size",
    "response_format",
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "seed",
    "user",
)
RESPONSE_FORMATS = ("url", "b64_json")

# JSON can spell half of a surrogate pair, which no UTF-8 text can hold.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class GenerationFields:
    """The body's fields, each in its public range; None: not given."""

    prompt: str
    model: str | None
    n: int | None
    size: str | None
    response_format: ResponseFormat | None
    negative_prompt: str | None
    num_inference_steps: int | None
    guidance_scale: float | None
    seed: int | None
    user: str | None


@dataclass(frozen=True)
class GenerationRequest:
    """A request that `variant` can serve. Image i is drawn from `seeds[i]`."""

    variant: Variant
    prompt: str
    negative_prompt: str | None
    size: Size
    response_format: ResponseFormat
    num_inference_steps: int
    guidance_scale: float
    seeds: tuple[int, ...]

    @property
    def n(self) -> int:
        return len(self.seeds)


def parse_fields(body: Mapping[str, Any], limits: Limits) -> GenerationFields:
    """Raises InvalidRequest with every problem found."""
    reader = _Reader(body)
    reader.unknown(FIELDS)
    fields = GenerationFields(
        prompt=cast(str, reader.text("prompt", limits.prompt, required=True)),
        model=reader.text("model"),
        n=reader.integer("n", limits.n),
        size=reader.text("size"),
        response_format=cast(
            ResponseFormat | None, reader.choice("response_format", RESPONSE_FORMATS)
        ),
        negative_prompt=reader.text("negative_prompt", limits.negative_prompt),
        num_inference_steps=reader.integer("num_inference_steps", limits.num_inference_steps),
        guidance_scale=reader.number("guidance_scale", limits.guidance_scale),
        seed=reader.integer("seed", limits.seed),
        user=reader.text("user"),
    )
    reader.raise_problems()
    return fields


def complete(
    fields: GenerationFields,
    variant: Variant,
    limits: Limits,
    draw_below: Callable[[int], int],
) -> GenerationRequest:
    """Fills in the variant's defaults and checks its own limits. Raises InvalidRequest.

    `draw_below(k)` gives a random integer in [0, k).
    """
    problems: list[Problem] = []

    def at_most(field: str, value: int, ceiling: int) -> None:
        if value > ceiling:
            problems.append(
                Problem(
                    f"{field}: must be at most {ceiling} for model {variant.name!r}, not {value}",
                    field,
                    "out_of_range",
                )
            )

    n = limits.n.min if fields.n is None else fields.n
    at_most("n", n, variant.max_images)
    steps = (
        variant.default_steps if fields.num_inference_steps is None else fields.num_inference_steps
    )
    at_most("num_inference_steps", steps, variant.max_steps)
    size = variant.sizes[0]
    if fields.size is not None:
        served = {str(size): size for size in variant.sizes}
        if fields.size in served:
            size = served[fields.size]
        else:
            problems.append(
                Problem(
                    f"size: model {variant.name!r} serves {', '.join(served)}, "
                    f"not {_shown(fields.size)}",
                    "size",
                    "size_not_served",
                )
            )
    if problems:
        raise InvalidRequest(*problems)

    seeds = limits.seed.max + 1
    first = draw_below(seeds) if fields.seed is None else fields.seed
    return GenerationRequest(
        variant=variant,
        prompt=fields.prompt,
        negative_prompt=fields.negative_prompt,
        size=size,
        response_format=fields.response_format or "url",
        num_inference_steps=steps,
        guidance_scale=(
            variant.default_guidance_scale
            if fields.guidance_scale is None
            else fields.guidance_scale
        ),
        seeds=tuple((first + i) % seeds for i in range(n)),
    )


class _Reader:
    """Takes typed values out of a body and keeps what is wrong with them."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self._problems: list[Problem] = []

    def raise_problems(self) -> None:
        if self._problems:
            raise InvalidRequest(*self._problems)

    def unknown(self, known: Collection[str]) -> None:
        for field in self._body:
            if field not in known:
                name = _shown(field)[1:-1]
                self._problem(
                    f"{name}: unknown field (known: {', '.join(known)})", name, "unknown_field"
                )

    def text(
        self, field: str, length: IntRange | None = None, *, required: bool = False
    ) -> str | None:
        if field not in self._body:
            if required:
                expected = self._length(length)
                self._problem(f"{field}: required, a string{expected}", field, "missing_field")
            return None
        value = self._body[field]
        if not isinstance(value, str):
            self._wrong_type(field, f"a string{self._length(length)}")
            return None
        if _LONE_SURROGATE.search(value):
            self._problem(f"{field}: must be valid Unicode text", field, "out_of_range")
        elif length is not None and not length.min <= len(value) <= length.max:
            self._problem(
                f"{field}: must have {length.min} to {length.max} characters, not {len(value)}",
                field,
                "out_of_range",
            )
        return value

    def integer(self, field: str, allowed: IntRange) -> int | None:
        value = self._body.get(field)
        if field in self._body and type(value) is not int:  # bool is an int to isinstance
            self._wrong_type(field, f"an integer from {allowed.min} to {allowed.max}")
            return None
        return cast(int | None, self._in_range(field, value, allowed, "an integer"))

    def number(self, field: str, allowed: NumberRange) -> float | None:
        value = self._body.get(field)
        if field in self._body and type(value) not in (int, float):
            self._wrong_type(field, f"a number from {allowed.min} to {allowed.max}")
            return None
        in_range = self._in_range(field, value, allowed, "a number")
        return None if in_range is None else float(in_range)

    def choice(self, field: str, allowed: Collection[str]) -> str | None:
        value = self.text(field)
        if value is not None and value not in allowed:
            self._problem(
                f"{field}: must be one of {', '.join(allowed)}, not {_shown(value)}",
                field,
                "out_of_range",
            )
        return value

    def _in_range(
        self, field: str, value: Any, allowed: IntRange | NumberRange, kind: str
    ) -> Any | None:
        if value is None or allowed.min <= value <= allowed.max:
            return value
        self._problem(
            f"{field}: must be {kind} from {allowed.min} to {allowed.max}, not {_shown(value)}",
            field,
            "out_of_range",
        )
        return None

    def _wrong_type(self, field: str, expected: str) -> None:
        value = self._body[field]
        given = _JSON_NAMES.get(type(value)) or _shown(value)
        self._problem(f"{field}: must be {expected}, not {given}", field, "invalid_type")

    def _problem(self, message: str, param: str, code: str) -> None:
        self._problems.append(Problem(message, param, code))

    @staticmethod
    def _length(length: IntRange | None) -> str:
        return "" if length is None else f" of {length.min} to {length.max} characters"


_JSON_NAMES = {type(None): "null", list: "a list", dict: "an object", bool: "a boolean"}


def _shown(value: object) -> str:
    """`value` for a message: short, and in characters that any terminal and encoder takes."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
