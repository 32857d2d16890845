"""A model and settings for tests of the serving path that need no weights."""

from __future__ import annotations

import io
import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sd_contract import manifest
from sd_contract.invocation import Invocation
from sd_contract.sampling import Sampling
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.deep_cache import DeepHalf
from sd_serving.logs import print_event
from sd_serving.sampler import Sampler

ASSETS = Path(__file__).parents[2] / "model_assets"
WEIGHTS = ASSETS / "tiny" / "weights"
"""The small model."""
ENV = {
    "SD_VARIANT": "fake",
    "SD_SIZES": "64x64,64x128",
    "SD_MODES": json.dumps(
        {"standard": {"steps": 5}, "fast": {"steps": 4, "sigmas": "karras", "guidance_until": 0.5}}
    ),
    "SD_DEFAULT_GUIDANCE": "7.5",
    "SD_ARTIFACT_KEY": "key-of-the-weights",
}


def config(**env: str) -> ServingConfig:
    return ServingConfig.from_env({**ENV, **env})


def make_artifact(folder: Path) -> Path:
    """The small model as the weight import would have stored it; `folder` again."""
    shutil.copytree(WEIGHTS, folder)
    manifest.Manifest.of(folder, ENV["SD_ARTIFACT_KEY"], manifest.WEIGHTS, {}).write(folder)
    return folder


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png))).astype(int)


def request(**changes: Any) -> Invocation:
    """Of its size, `width` and `height` can be given."""
    values: dict[str, Any] = {
        "prompt": "a red circle",
        "negative_prompt": "",
        "num_images": 1,
        "width": 64,
        "height": 64,
        "num_inference_steps": 3,
        "guidance_scale": 7.5,
        "seed": 7,
        **changes,
    }
    return Invocation(size=Size(values.pop("width"), values.pop("height")), **values)


def picture_file(
    width: int = 64, height: int = 64, *, grey: int = 128, kind: str = "PNG", mode: str = "RGB"
) -> bytes:
    out = io.BytesIO()
    Image.new("L", (width, height), grey).convert(mode).save(out, kind)
    return out.getvalue()


def mask_file(width: int = 64, height: int = 64, box: tuple[int, ...] | None = None) -> bytes:
    """What is within the box is drawn anew: left, upper, right, lower; the left half without."""
    picture = Image.new("RGBA", (width, height), "black")
    left, upper, right, lower = box or (0, 0, width // 2, height)
    picture.paste((0, 0, 0, 0), (left, upper, right, lower))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


class EulerDouble(Sampler):
    """The simplest update there is."""

    def __init__(self, sampling: Sampling) -> None:
        self.timesteps = torch.linspace(999, 0, sampling.steps).round().int().tolist()

    def noisy(self, latents: torch.Tensor, noise: torch.Tensor, step: int) -> torch.Tensor:
        share = self.timesteps[step] / 1000
        return latents * (1 - share) + noise * share

    def step(self, predicted: torch.Tensor, step: int, latents: torch.Tensor) -> torch.Tensor:
        del step
        return latents - predicted / len(self.timesteps)


@dataclass
class FakeParts:
    """Pictures that depend on prompt, guidance and noise, and a record of what was asked."""

    max_pictures_per_pass: int | None = 1
    before_denoise: Callable[[], None] = lambda: None
    """Called with every denoising step; raises what a test wants to see raised."""
    noise_of: Callable[[torch.Tensor], torch.Tensor] = lambda noise: noise
    denoise_calls: list[tuple[torch.Tensor, int, torch.Tensor]] = field(default_factory=list)
    encode_calls: list[list[str]] = field(default_factory=list)
    encode_pictures_calls: list[torch.Tensor] = field(default_factory=list)
    decode_calls: list[torch.Tensor] = field(default_factory=list)
    samplings: list[Sampling] = field(default_factory=list)
    full_steps: list[bool] = field(default_factory=list)
    keeps_deep_half: bool = True

    latent_channels = 4
    vae_scale = 8
    scaling_factor = 0.5
    tokenizer_max_length = 77
    device = torch.device("cpu")
    dtype_name = "float32"

    def count_tokens(self, prompt: str) -> int:
        return len(prompt.split()) + 2

    def cut_off(self, prompt: str) -> str:
        return " ".join(prompt.split()[75:])

    def encode(self, prompts: list[str]) -> torch.Tensor:
        self.encode_calls.append(prompts)
        rows = [torch.full((77, 3), math.sin(sum(prompt.encode()))) for prompt in prompts]
        return torch.stack(rows)

    def denoise(
        self, latents: torch.Tensor, t: int, embeds: torch.Tensor, deep: DeepHalf | None = None
    ) -> torch.Tensor:
        self.before_denoise()
        self.full_steps.append(deep is None or deep.full)
        self.denoise_calls.append((latents, t, embeds))
        return self.noise_of(latents * 0.1 + embeds.mean((1, 2))[:, None, None, None] * 0.2)

    def encode_pictures(self, pixels: torch.Tensor) -> torch.Tensor:
        self.encode_pictures_calls.append(pixels)
        grey = torch.nn.functional.avg_pool2d(pixels, 8)
        return torch.cat([grey, grey[:, :1]], dim=1)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        self.decode_calls.append(latents)
        return latents[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3).tanh()

    def make_sampler(self, sampling: Sampling) -> EulerDouble:
        self.samplings.append(sampling)
        return EulerDouble(sampling)

    def describe(self) -> dict[str, Any]:
        return {"double": True}


def capture_on_a_cpu(
    shapes: list[tuple[int, ...]],
) -> Callable[[Callable[[], torch.Tensor]], tuple[Callable[[], None], torch.Tensor]]:
    """As CUDA's: the same memory read and written by each replay."""

    def capture(work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        output = work()
        shapes.append(tuple(output.shape))

        def replay() -> None:
            output.copy_(work())

        return replay, output

    return capture


def failing(error: Exception, times: int = 1) -> Callable[[], None]:
    """For `before_denoise`: raises `error` that often, then nothing."""
    left = [error] * times

    def fail() -> None:
        if left:
            raise left.pop()

    return fail


def load_slow(_model_dir: Path, _config: ServingConfig) -> FakeParts:
    """A loader for a process of its own, which says when it is at work."""

    def say_and_take_time() -> None:
        print_event("drawing")
        time.sleep(0.1)

    return FakeParts(before_denoise=say_and_take_time)


@dataclass
class LogDouble:
    lines: list[dict[str, object]] = field(default_factory=list)

    def __call__(self, event: str, **fields: object) -> None:
        self.lines.append({"event": event, **fields})
