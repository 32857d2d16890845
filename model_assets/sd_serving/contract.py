"""What `POST /invocations` takes and gives, typed. Nothing is clamped or guessed: a value outside
its range is an InvalidRequest that names the key and the range."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sd_serving.config import ServingConfig, Size, size_text
from sd_serving.errors import InvalidRequest

SEED_SPACE = 2**32
"""Seeds are 0 … SEED_SPACE-1, and image i of a request uses (seed + i) mod SEED_SPACE."""

KEYS = (
    "prompt",
    "negative_prompt",
    "num_images",
    "height",
    "width",
    "num_inference_steps",
    "guidance_scale",
    "seed",
)


@dataclass(frozen=True)
class BatchKey:
    """What requests must share to be denoised in one batch."""

    height: int
    width: int
    num_inference_steps: int
    guidance_scale: float


@dataclass(frozen=True)
class GenerationRequest:
    prompt: str
    negative_prompt: str
    num_images: int
    height: int
    width: int
    num_inference_steps: int
    guidance_scale: float
    seed: int

    @property
    def seeds(self) -> tuple[int, ...]:
        """One seed an image; each makes its picture again when sent alone."""
        return tuple((self.seed + i) % SEED_SPACE for i in range(self.num_images))

    @property
    def batch_key(self) -> BatchKey:
        return BatchKey(self.height, self.width, self.num_inference_steps, self.guidance_scale)


def draw_seed() -> int:
    return secrets.randbelow(SEED_SPACE)


def parse_request(
    body: bytes, config: ServingConfig, draw_seed: Callable[[], int] = draw_seed
) -> GenerationRequest:
    """The request in `body`, defaults filled in from the configuration.

    Raises InvalidRequest for the first thing that is wrong, in the order of KEYS.
    """
    fields = _json_object(body)
    for key in fields:
        if key not in KEYS:
            raise InvalidRequest(
                f"unknown key {key[:100]!r}; allowed: {', '.join(KEYS)}",
                key.encode("utf-8", "replace").decode()[:100],
            )
    prompt = _text(fields, "prompt", 1, config.max_prompt_chars)
    if prompt is None:
        raise InvalidRequest(
            f"prompt is missing: a string of 1 to {config.max_prompt_chars} characters", "prompt"
        )
    negative_prompt = _text(fields, "negative_prompt", 0, config.max_prompt_chars)
    num_images = _integer(fields, "num_images", 1, config.max_images)
    height, width = _size(fields, config.sizes)
    steps = _integer(fields, "num_inference_steps", 1, config.max_steps)
    guidance = _number(fields, "guidance_scale", config.min_guidance, config.max_guidance)
    seed = _integer(fields, "seed", 0, SEED_SPACE - 1)
    return GenerationRequest(
        prompt=prompt,
        negative_prompt=negative_prompt or "",
        num_images=1 if num_images is None else num_images,
        height=height,
        width=width,
        num_inference_steps=config.default_steps if steps is None else steps,
        guidance_scale=config.default_guidance if guidance is None else guidance,
        seed=draw_seed() if seed is None else seed,
    )


def _json_object(body: bytes) -> Mapping[str, object]:
    try:
        # ValueError: bad JSON, bad UTF-8, or a number of thousands of digits.
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is not valid JSON in UTF-8") from None
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object")
    return document


def _text(fields: Mapping[str, object], key: str, low: int, high: int) -> str | None:
    if key not in fields:
        return None
    value = fields[key]
    wanted = f"{key} must be a string of {low} to {high} characters"
    if not isinstance(value, str):
        raise InvalidRequest(f"{wanted}, not {_json_type(value)}", key)
    if not low <= len(value) <= high:
        raise InvalidRequest(f"{wanted}, not {len(value)}", key)
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidRequest(f"{key} holds half a surrogate pair, which is no character", key)
    return value


def _integer(fields: Mapping[str, object], key: str, low: int, high: int) -> int | None:
    if key not in fields:
        return None
    value = fields[key]
    wanted = f"{key} must be an integer from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(f"{wanted}, not {_json_type(value)}", key)
    if not low <= value <= high:
        raise InvalidRequest(wanted, key)
    return value


def _number(fields: Mapping[str, object], key: str, low: float, high: float) -> float | None:
    if key not in fields:
        return None
    value = fields[key]
    wanted = f"{key} must be a number from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"{wanted}, not {_json_type(value)}", key)
    if not low <= value <= high:  # also false for NaN, which Python's JSON lets through
        raise InvalidRequest(wanted, key)
    return float(value)


def _size(fields: Mapping[str, object], served: tuple[Size, ...]) -> Size:
    names = ", ".join(size_text(size) for size in served)
    height = _integer(fields, "height", 8, max(size[0] for size in served))
    width = _integer(fields, "width", 8, max(size[1] for size in served))
    if height is None and width is None:
        return served[0]
    if height is None or width is None:
        missing = "height" if height is None else "width"
        raise InvalidRequest(f"{missing} is missing: height and width go together", missing)
    if (height, width) not in served:
        raise InvalidRequest(
            f"{size_text((height, width))} is not served; width x height is one of {names}",
            "height" if height not in {size[0] for size in served} else "width",
        )
    return height, width


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a number" if math.isfinite(value) else "a non-finite number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"
