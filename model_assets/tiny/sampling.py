"""A plain sampler for the measurements: what the serving does, in as few lines as it takes.

Runs on any diffusers from 0.16 and any transformers from 4.39.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    PNDMScheduler,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from model_assets.tiny.data import SIZE
from model_assets.tiny.tokenizer import WEIGHTS

STEPS = 25
GUIDANCE_SCALE = 4.0


@dataclass(frozen=True)
class Sampler:
    tokenizer: Any
    text_encoder: Any
    unet: Any
    vae: Any
    scheduler_config: Any

    @classmethod
    def load(cls, folder: Path = WEIGHTS) -> "Sampler":
        def model(kind: Any, name: str) -> Any:
            return kind.from_pretrained(folder / name).float().eval().requires_grad_(False)

        return cls(
            CLIPTokenizer.from_pretrained(folder / "tokenizer"),
            model(CLIPTextModel, "text_encoder"),
            model(UNet2DConditionModel, "unet"),
            model(AutoencoderKL, "vae"),
            PNDMScheduler.from_pretrained(folder / "scheduler").config,
        )

    def token_ids(self, prompts: Sequence[str]) -> torch.Tensor:
        encoded = self.tokenizer(
            list(prompts),
            padding="max_length",
            max_length=77,
            truncation=True,
            return_tensors="pt",
        )
        ids: torch.Tensor = encoded.input_ids
        return ids

    @torch.no_grad()
    def draw(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int = STEPS,
        guidance_scale: float = GUIDANCE_SCALE,
    ) -> list[Image.Image]:
        scheduler = DPMSolverMultistepScheduler.from_config(
            self.scheduler_config,
            algorithm_type="dpmsolver++",
            solver_order=2,
            final_sigmas_type="sigma_min",
            timestep_spacing="linspace",
        )
        scheduler.set_timesteps(steps)
        words = self.text_encoder(self.token_ids([*[""] * len(prompts), *prompts]))[0]
        latents = torch.cat([_noise(seed) for seed in seeds])
        for timestep in scheduler.timesteps:
            noise = self.unet(torch.cat([latents] * 2), timestep, encoder_hidden_states=words)[0]
            without, along = noise.chunk(2)
            guided = without + guidance_scale * (along - without)
            latents = scheduler.step(guided, timestep, latents)[0]
        decoded = self.vae.decode(latents / self.vae.config.scaling_factor)[0]
        pixels = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().permute(0, 2, 3, 1)
        return [Image.fromarray(array) for array in pixels.numpy().astype(np.uint8)]


def _noise(seed: int) -> torch.Tensor:
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn((1, 4, SIZE // 8, SIZE // 8), generator=generator)
