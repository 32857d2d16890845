"""What a container is told: the environment that a variant's stack writes and its server reads.

Only what a deploy decides is in it. The ranges of the API are `sd_contract.fields`', which every
image has; what an image decides (its loader, its ports) stands in its Dockerfile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from sd_contract.fields import GUIDANCE_SCALE, STEPS
from sd_contract.size import Size

DTYPES = ("auto", "float16", "bfloat16", "float32")
"""`auto` leaves the choice to the loader, which knows the device."""
COMPILE_BACKENDS = ("neuronx", "torchscript")

T = TypeVar("T")


class ConfigError(Exception):
    """Every mistake in the environment, each with its variable and the allowed values."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


@dataclass(frozen=True)
class ServingEnvironment:
    variant: str
    artifact_key: str
    """Content key that the model directory's manifest must carry."""
    sizes: tuple[Size, ...]
    """Sizes served; the first is the default."""
    default_steps: int
    default_guidance_scale: float
    dtype: str
    """One of DTYPES."""
    neuron_sdk: str = ""
    """Neuron SDK of the image, which the artifact's must equal. Inferentia only."""
    compile_backend: str = ""
    """One of COMPILE_BACKENDS. Inferentia only."""

    def to_env(self) -> dict[str, str]:
        env = {
            "SD_VARIANT": self.variant,
            "SD_ARTIFACT_KEY": self.artifact_key,
            "SD_SIZES": ",".join(map(str, self.sizes)),
            "SD_DEFAULT_STEPS": str(self.default_steps),
            "SD_DEFAULT_GUIDANCE": str(self.default_guidance_scale),
            "SD_DTYPE": self.dtype,
            "SD_NEURON_SDK": self.neuron_sdk,
            "SD_COMPILE_BACKEND": self.compile_backend,
        }
        return {name: value for name, value in env.items() if value}

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ServingEnvironment:
        """Raises ConfigError that lists all missing and malformed variables."""
        read = Reader(env)
        told = ServingEnvironment.read(read)
        read.raise_problems()
        return told

    @staticmethod
    def read(read: Reader) -> ServingEnvironment:
        """For who reads more of the same environment. Of no use where `read` has problems."""
        return ServingEnvironment(
            variant=read("SD_VARIANT", text, "any text"),
            artifact_key=read("SD_ARTIFACT_KEY", text, "any text"),
            sizes=read("SD_SIZES", _sizes, 'sizes like "512x512,768x768", each once'),
            default_steps=read("SD_DEFAULT_STEPS", whole(STEPS.low, STEPS.high), STEPS.expected),
            default_guidance_scale=read(
                "SD_DEFAULT_GUIDANCE",
                number(GUIDANCE_SCALE.low, GUIDANCE_SCALE.high),
                GUIDANCE_SCALE.expected,
            ),
            dtype=read("SD_DTYPE", choice(*DTYPES), f"one of {', '.join(DTYPES)}", "auto"),
            neuron_sdk=read("SD_NEURON_SDK", text, "any text", ""),
            compile_backend=read(
                "SD_COMPILE_BACKEND",
                choice(*COMPILE_BACKENDS),
                f"one of {', '.join(COMPILE_BACKENDS)}",
                "",
            ),
        )


class Reader:
    """Reads typed values of an environment and goes on after a mistake, with a stand-in that is
    never handed out: `raise_problems` comes before."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._problems: list[str] = []

    def __call__(
        self, name: str, parse: Callable[[str], T], expected: str, default: T | None = None
    ) -> T:
        """A variable that is empty counts as missing, and then `default` is its value."""
        value = self._env.get(name, "").strip()
        if not value and default is not None:
            return default
        try:
            return parse(value)
        except ValueError:
            said = f"{name}={value!r}" if value else f"{name} is missing"
            self._problems.append(f"{said}: {expected}")
            return cast(T, default)

    def raise_problems(self) -> None:
        if self._problems:
            raise ConfigError(self._problems)


# Parsers of one variable: each raises ValueError for what it doesn't take.


def text(value: str) -> str:
    if not value:
        raise ValueError
    return value


def whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        # Not int() alone, which takes "+1", "1_0" and other scripts' digits.
        if not (value.isascii() and value.isdigit() and low <= int(value[:16]) <= high):
            raise ValueError
        return int(value)

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    def parse(value: str) -> float:
        parsed = float(value)
        if not (math.isfinite(parsed) and low <= parsed <= high):
            raise ValueError
        return parsed

    return parse


def choice(*allowed: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError
        return value

    return parse


def _sizes(value: str) -> tuple[Size, ...]:
    sizes = tuple(Size.parse(word.strip()) for word in value.split(","))
    if len(set(sizes)) < len(sizes):
        raise ValueError
    return sizes
