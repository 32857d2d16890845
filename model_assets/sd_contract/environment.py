"""What a container is told: the environment that a variant's stack writes and its server reads.

Only what a deploy decides is in it. The ranges of the API are `sd_contract.fields`', which every
image has; what an image decides (its loader, its ports) stands in its Dockerfile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from sd_contract.fields import GUIDANCE_SCALE, Number, Whole
from sd_contract.sampling import MODES, Sampling, modes_from_document
from sd_contract.size import Size

DTYPES = ("auto", "float16", "bfloat16", "float32")
"""`auto` leaves the choice to the loader, which knows the device."""
COMPILE_BACKENDS = ("neuronx", "torchscript")
MAX_BATCH_SIZE = Whole(1, 16)
MAX_BATCH_DELAY_MS = Whole(0, 60_000)
"""As long as SageMaker waits for an answer."""

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
    modes: Mapping[str, Sampling]
    """By their names, "standard" among them."""
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
            "SD_MODES": json.dumps(
                {name: sampling.document() for name, sampling in self.modes.items()},
                separators=(",", ":"),
            ),
            "SD_DEFAULT_GUIDANCE": str(self.default_guidance_scale),
            "SD_DTYPE": self.dtype,
            "SD_NEURON_SDK": self.neuron_sdk,
            "SD_COMPILE_BACKEND": self.compile_backend,
        }
        return {name: value for name, value in env.items() if value}

    @staticmethod
    def read(read: Reader) -> ServingEnvironment:
        """For who reads more of the same environment. Of no use where `read` has problems."""
        return ServingEnvironment(
            variant=read("SD_VARIANT", text()),
            artifact_key=read("SD_ARTIFACT_KEY", text()),
            sizes=read("SD_SIZES", _SIZES),
            modes=read("SD_MODES", _MODES),
            default_guidance_scale=read("SD_DEFAULT_GUIDANCE", number(GUIDANCE_SCALE)),
            dtype=read("SD_DTYPE", choice(DTYPES), "auto"),
            neuron_sdk=read("SD_NEURON_SDK", text(), ""),
            compile_backend=read("SD_COMPILE_BACKEND", choice(COMPILE_BACKENDS), ""),
        )


@dataclass(frozen=True)
class Batching:
    """Of the server in `sd_serving`: requests that wait are drawn together while their pictures are
    no more than `max_size`, and one that came less than `max_delay_ms` ago waits for others."""

    max_size: int
    max_delay_ms: int

    def to_env(self) -> dict[str, str]:
        """Nothing where there are no batches."""
        if self.max_size == EXACT.max_size:
            return {}
        return {
            "SD_MAX_BATCH_SIZE": str(self.max_size),
            "SD_MAX_BATCH_DELAY_MS": str(self.max_delay_ms),
        }

    @staticmethod
    def read(read: Reader) -> Batching:
        return Batching(
            read("SD_MAX_BATCH_SIZE", whole(MAX_BATCH_SIZE), EXACT.max_size),
            read("SD_MAX_BATCH_DELAY_MS", whole(MAX_BATCH_DELAY_MS), EXACT.max_delay_ms),
        )


EXACT = Batching(MAX_BATCH_SIZE.low, MAX_BATCH_DELAY_MS.low)
"""No picture goes through the networks with another, so each is bit for bit the one made alone.
With batches it is within the networks' rounding."""


@dataclass(frozen=True)
class Parser(Generic[T]):
    expected: str
    parse: Callable[[str], T]
    """Raises ValueError for what isn't one."""


class Reader:
    """Reads typed values of an environment and goes on after a mistake, with a stand-in that is
    never handed out: `raise_problems` comes before."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._problems: list[str] = []

    def __call__(self, name: str, parser: Parser[T], default: T | None = None) -> T:
        """A variable that is empty counts as missing, and then `default` is its value."""
        value = self._env.get(name, "").strip()
        if not value and default is not None:
            return default
        try:
            _require(value != "")
            return parser.parse(value)
        except ValueError:
            said = f"{name}={value!r}" if value else f"{name} is missing"
            self._problems.append(f"{said}: {parser.expected}")
            return cast(T, default)

    def raise_problems(self) -> None:
        if self._problems:
            raise ConfigError(self._problems)


def text(expected: str = "any text") -> Parser[str]:
    return Parser(expected, str)


def whole(allowed: Whole) -> Parser[int]:
    def parse(value: str) -> int:
        # Not int() alone, which takes "+1", "1_0" and other scripts' digits.
        _require(value.isascii() and value.isdigit() and not allowed.mistake(int(value[:16])))
        return int(value)

    return Parser(allowed.expected, parse)


def number(allowed: Number) -> Parser[float]:
    def parse(value: str) -> float:
        _require(not allowed.mistake(float(value)))
        return float(value)

    return Parser(allowed.expected, parse)


def choice(allowed: Sequence[str]) -> Parser[str]:
    def parse(value: str) -> str:
        _require(value in allowed)
        return value

    return Parser(f"one of {', '.join(allowed)}", parse)


def _sizes(value: str) -> tuple[Size, ...]:
    sizes = tuple(Size.parse(word.strip()) for word in value.split(","))
    _require(len(set(sizes)) == len(sizes))
    return sizes


def _require(fits: bool) -> None:
    if not fits:
        raise ValueError


def _modes(value: str) -> Mapping[str, Sampling]:
    return modes_from_document(json.loads(value))


_MODES = Parser(
    f"a JSON object of {' and '.join(MODES)}, the first required, each with steps, sigmas, "
    "guidance_until and deep_cache in their ranges",
    _modes,
)
_SIZES = Parser('sizes like "512x512,768x768", each once', _sizes)
