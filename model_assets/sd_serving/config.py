"""The container's settings: read from the environment once, validated together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sd_serving.errors import ConfigError

DTYPES = ("auto", "float16", "bfloat16", "float32")
COMPILE_BACKENDS = ("neuronx", "torchscript")

Size = tuple[int, int]
"""(height, width) in pixels, the order of tensors. Written "WIDTHxHEIGHT" in settings and text."""


def size_text(size: Size) -> str:
    height, width = size
    return f"{width}x{height}"


@dataclass(frozen=True)
class ServingConfig:
    """What a container is told. The limits have no defaults here: they live in the settings of
    the deploy and are handed down, so that no second copy can disagree."""

    variant: str
    artifact_key: str
    """Content key that the model directory's manifest must carry."""
    sizes: tuple[Size, ...]
    """Sizes served; the first is the default."""
    max_images: int
    max_prompt_chars: int
    """Also the limit of the negative prompt."""
    default_steps: int
    max_steps: int
    default_guidance: float
    min_guidance: float
    max_guidance: float

    warmup_steps: int = 2
    dtype: str = "auto"
    """One of DTYPES; `auto` leaves the choice to the loader, which knows the device."""
    torch_compile: bool = False
    loader: str = ""
    """`module:function` of the variant's `load`; the server needs it, DJL's entry point doesn't."""
    model_dir: Path = Path("/opt/ml/model")
    host: str = "0.0.0.0"  # noqa: S104 - SageMaker's router comes from outside the container
    """Address to listen on."""
    port: int = 8080
    neuron_sdk: str = ""
    """Neuron SDK of this image, which the artifact's must equal. Inferentia only."""
    compile_backend: str = ""
    """One of COMPILE_BACKENDS. Inferentia only."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ServingConfig:
        """Raises ConfigError that lists all missing, malformed and contradicting variables."""
        read = _Reader(env)
        config = cls(
            variant=read.text("SD_VARIANT"),
            artifact_key=read.text("SD_ARTIFACT_KEY"),
            sizes=read.sizes("SD_SIZES"),
            max_images=read.integer("SD_MAX_IMAGES", 1),
            max_prompt_chars=read.integer("SD_MAX_PROMPT_CHARS", 1),
            default_steps=read.integer("SD_DEFAULT_STEPS", 1),
            max_steps=read.integer("SD_MAX_STEPS", 1),
            default_guidance=read.number("SD_DEFAULT_GUIDANCE", 1.0),
            min_guidance=read.number("SD_MIN_GUIDANCE", 1.0),
            max_guidance=read.number("SD_MAX_GUIDANCE", 1.0),
            warmup_steps=read.integer("SD_WARMUP_STEPS", 1, default=cls.warmup_steps),
            dtype=read.choice("SD_DTYPE", DTYPES, default=cls.dtype),
            torch_compile=read.choice("SD_TORCH_COMPILE", ("0", "1"), default="0") == "1",
            loader=read.text("SD_LOADER", default=cls.loader),
            model_dir=Path(read.text("SM_MODEL_DIR", default=str(cls.model_dir))),
            host=read.text("SD_BIND_HOST", default=cls.host),
            port=read.integer("SAGEMAKER_BIND_TO_PORT", 0, 65535, default=cls.port),
            neuron_sdk=read.text("SD_NEURON_SDK", default=cls.neuron_sdk),
            compile_backend=read.choice("SD_COMPILE_BACKEND", COMPILE_BACKENDS, default=""),
        )
        problems = read.problems or config._contradictions()
        if problems:
            raise ConfigError(problems)
        return config

    def _contradictions(self) -> list[str]:
        problems = []
        if self.default_steps > self.max_steps:
            problems.append(
                f"SD_DEFAULT_STEPS={self.default_steps}: at most SD_MAX_STEPS={self.max_steps}"
            )
        if self.warmup_steps > self.max_steps:
            problems.append(
                f"SD_WARMUP_STEPS={self.warmup_steps}: at most SD_MAX_STEPS={self.max_steps}"
            )
        if not self.min_guidance <= self.default_guidance <= self.max_guidance:
            problems.append(
                f"SD_DEFAULT_GUIDANCE={self.default_guidance}: between "
                f"SD_MIN_GUIDANCE={self.min_guidance} and SD_MAX_GUIDANCE={self.max_guidance}"
            )
        return problems


class _Reader:
    """Reads typed values and goes on after a mistake, with a stand-in that is never served."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.problems: list[str] = []

    def text(self, name: str, *, default: str | None = None) -> str:
        value = self._env.get(name, "").strip() or default
        if value is None:
            self.problems.append(f"{name} is missing: any text")
            return ""
        return value

    def choice(self, name: str, allowed: tuple[str, ...], *, default: str) -> str:
        value = self._env.get(name, "").strip()
        if not value:
            return default
        if value not in allowed:
            self.problems.append(f"{name}={value!r}: one of {', '.join(allowed)}")
        return value

    def integer(
        self, name: str, low: int, high: int | None = None, *, default: int | None = None
    ) -> int:
        wanted = f"a whole number from {low}" + ("" if high is None else f" to {high}")
        value = self._env.get(name, "").strip()
        if not value and default is not None:
            return default
        if not (value.isascii() and value.isdigit() and len(value) < 16):
            self._refuse(name, value, wanted)
            return low
        number = int(value)
        if number < low or (high is not None and number > high):
            self._refuse(name, value, wanted)
        return number

    def number(self, name: str, low: float) -> float:
        value = self._env.get(name, "").strip()
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number >= low):
            self._refuse(name, value, f"a number from {low}")
        return number

    def sizes(self, name: str) -> tuple[Size, ...]:
        value = self._env.get(name, "").strip()
        sizes: list[Size] = []
        for word in value.split(","):
            width, cross, height = word.strip().partition("x")
            if not (cross and _is_side(width) and _is_side(height)):
                self._refuse(name, value, 'sizes like "512x512,768x768", multiples of 8')
                return ()
            sizes.append((int(height), int(width)))
        if len(set(sizes)) < len(sizes):
            self._refuse(name, value, "every size once")
        return tuple(sizes)

    def _refuse(self, name: str, value: str, wanted: str) -> None:
        said = f"{name}={value!r}" if value else f"{name} is missing"
        self.problems.append(f"{said}: {wanted}")


def _is_side(text: str) -> bool:
    """The VAE scales by 8, so only multiples of 8 have a latent."""
    return text.isascii() and text.isdigit() and 0 < int(text[:6]) < 100_000 and int(text) % 8 == 0
