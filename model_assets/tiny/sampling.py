"""Pictures for the measurements, drawn as the containers draw them."""

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from model_assets.tiny import data
from model_assets.tiny.tokenizer import WEIGHTS
from sd_contract.invocation import Invocation
from sd_contract.sampling import STANDARD, Sampling
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.diffusers_parts import load_diffusers
from sd_serving.engine import Engine

SIZE = Size(data.SIZE, data.SIZE)
STEPS = 25
MODES = {STANDARD: Sampling(STEPS)}
GUIDANCE_SCALE = 4.0


class Sampler:
    def __init__(self, folder: Path = WEIGHTS) -> None:
        cpu = torch.device("cpu")
        parts = load_diffusers(folder, dtype=torch.float32, device=cpu, max_pictures_per_pass=None)
        config = ServingConfig("tiny", "", (SIZE,), MODES, GUIDANCE_SCALE, "float32")
        self._engine = Engine(parts, config)

    def draw(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int = STEPS,
        guidance_scale: float = GUIDANCE_SCALE,
    ) -> list[Image.Image]:
        requests = [
            Invocation(prompt, "", 1, SIZE, steps, guidance_scale, seed)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        answers = self._engine.generate(requests)
        return [Image.open(io.BytesIO(answer.images[0])) for answer in answers]
