"""What the engine's Parts have in common, however their networks are run: tokenizer, noise schedule
and the figures that the model's configuration gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_contract.manifest import NAME, Manifest
from sd_contract.model_layout import CONFIGS, LATENT_CHANNELS, SCALING_FACTOR, SCHEDULER_CONFIG
from sd_contract.sampling import Sampling
from sd_serving.sampler import NoiseSchedule, Sampler
from sd_serving.tokenizer import PromptTokenizer

if TYPE_CHECKING:
    import torch


@dataclass
class LoadedParts:
    tokenizer: PromptTokenizer
    noise_schedule: NoiseSchedule
    latent_channels: int
    vae_scale: int
    scaling_factor: float
    device: torch.device
    dtype: torch.dtype
    model_id: str = field(default="", kw_only=True)
    """Empty where the folder has no manifest that says it."""
    description: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    """For the answer's `engine` object: how the networks are run."""

    @property
    def tokenizer_max_length(self) -> int:
        return self.tokenizer.max_length

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def make_sampler(self, sampling: Sampling) -> Sampler:
        return Sampler(self.noise_schedule, sampling)

    def count_tokens(self, prompt: str) -> int:
        return self.tokenizer.count(prompt)

    def cut_off(self, prompt: str) -> str:
        return self.tokenizer.cut_off(prompt)

    def describe(self) -> Mapping[str, Any]:
        return {**({"model_id": self.model_id} if self.model_id else {}), **self.description}


def read_common(folder: Path) -> dict[str, Any]:
    """What a folder in diffusers' layout says of LoadedParts."""
    unet, vae = (json.loads((folder / CONFIGS[name]).read_bytes()) for name in ("unet", "vae"))
    manifest = folder / NAME
    origin = Manifest.from_json(manifest.read_bytes()).more if manifest.is_file() else {}
    return {
        "model_id": str(origin.get("model_id", "")),
        "tokenizer": PromptTokenizer(folder / "tokenizer"),
        "noise_schedule": NoiseSchedule.read(folder / SCHEDULER_CONFIG),
        "latent_channels": int(unet.get("in_channels", LATENT_CHANNELS)),
        "vae_scale": int(2 ** (len(vae["block_out_channels"]) - 1)),
        "scaling_factor": float(vae.get("scaling_factor", SCALING_FACTOR)),
    }
