"""The Lambda's environment, parsed once into a typed object.

Every variable is required: the defaults live in the app's settings, and a second copy here could
drift from them.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from front_door.errors import ConfigError

T = TypeVar("T")

# What a request costs besides the endpoint's own seconds: the Lambda's cold start, reading the
# registrations, storing up to four PNGs, the gateway itself. Kept back from the gateway's limit,
# so that a slow endpoint ends in our 504 and not in the gateway's, which has no request id.
RESERVE_S = 3.0


@dataclass(frozen=True)
class IntRange:
    """Both ends belong to the range."""

    min: int
    max: int


@dataclass(frozen=True)
class NumberRange:
    """Both ends belong to the range."""

    min: float
    max: float


@dataclass(frozen=True)
class Limits:
    """The public ranges, by API field; for `prompt` and `negative_prompt` of the length."""

    prompt: IntRange
    negative_prompt: IntRange
    n: IntRange
    num_inference_steps: IntRange
    guidance_scale: NumberRange
    seed: IntRange


@dataclass(frozen=True)
class Config:
    variant_prefix: str
    default_model: str
    image_bucket: str
    url_ttl_s: int
    gateway_timeout_s: float
    cache_ttl_s: float
    max_body_bytes: int
    limits: Limits

    @property
    def endpoint_timeout_s(self) -> float:
        """How long the endpoint may take for the whole to be done within the gateway's limit."""
        return self.gateway_timeout_s - RESERVE_S

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Config":
        """Raises ConfigError with all mistakes at once."""
        mistakes: list[str] = []

        def read(name: str, parse: Callable[[str], T], expected: str) -> T:
            text = env.get(name)
            if text is None:
                mistakes.append(f"{name} is missing (expected {expected})")
            else:
                try:
                    return parse(text)
                except _LimitsError as error:
                    mistakes.extend(f"{name}: {mistake}" for mistake in error.mistakes)
                except ValueError:
                    mistakes.append(f"{name} is {text!r} (expected {expected})")
            # Never seen: with a mistake on the list the config isn't handed out.
            return cast(T, None)

        config = cls(
            variant_prefix=read("SD_VARIANT_PREFIX", _path, "an SSM path such as /sd/variants"),
            default_model=read("SD_DEFAULT_MODEL", _text, "a variant's name"),
            image_bucket=read("SD_IMAGE_BUCKET", _text, "a bucket's name"),
            # S3 honours a presigned URL for a week at most.
            url_ttl_s=read("SD_URL_TTL_S", _int(1, 604800), "an integer from 1 to 604800"),
            gateway_timeout_s=read(
                "SD_GATEWAY_TIMEOUT_S",
                _number(RESERVE_S + 1, 900),
                f"a number from {RESERVE_S + 1:g} to 900",
            ),
            cache_ttl_s=read("SD_CACHE_TTL_S", _number(0, 3600), "a number from 0 to 3600"),
            # Lambda's own limit for a request.
            max_body_bytes=read(
                "SD_MAX_BODY_BYTES", _int(1, 6291456), "an integer from 1 to 6291456"
            ),
            limits=read("SD_LIMITS", _limits, "a JSON object of ranges"),
        )
        if mistakes:
            raise ConfigError(mistakes)
        return config


class _LimitsError(ValueError):
    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(mistakes))


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError(text)
    return text


def _path(text: str) -> str:
    if not text.startswith("/") or text.endswith("/"):
        raise ValueError(text)
    return text


def _int(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return parse


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:  # also refuses NaN
            raise ValueError(text)
        return value

    return parse


def _limits(text: str) -> Limits:
    try:
        ranges = json.loads(text)
    except ValueError:
        raise _LimitsError(["is not JSON"]) from None
    if not isinstance(ranges, dict):
        raise _LimitsError(["is not a JSON object"])
    mistakes: list[str] = []

    def ends(field: str, kinds: tuple[type, ...]) -> list[float]:
        entry = ranges.pop(field, None)
        values = list(entry.values()) if isinstance(entry, dict) else []
        if (
            not isinstance(entry, dict)
            or set(entry) != {"min", "max"}
            or any(isinstance(v, bool) or not isinstance(v, kinds) for v in values)
            or not all(math.isfinite(v) for v in values)
            or entry["min"] > entry["max"]
        ):
            names = " or ".join(kind.__name__ for kind in kinds)
            mistakes.append(f'{field} must be {{"min": {names}, "max": {names}}}, min ≤ max')
            return [0, 0]
        return [entry["min"], entry["max"]]

    def ints(field: str) -> IntRange:
        low, high = ends(field, (int,))
        return IntRange(int(low), int(high))

    limits = Limits(
        prompt=ints("prompt"),
        negative_prompt=ints("negative_prompt"),
        n=ints("n"),
        num_inference_steps=ints("num_inference_steps"),
        guidance_scale=NumberRange(*ends("guidance_scale", (int, float))),
        seed=ints("seed"),
    )
    mistakes.extend(f"{field} is unknown" for field in ranges)
    if mistakes:
        raise _LimitsError(mistakes)
    return limits
