"""`python draw.py <weights> <pictures.npy>`: the request path on the libraries that are there.

Writes uint8 [pictures, H, W, 3] and prints the versions that drew them, as JSON.
"""

from __future__ import annotations

import io
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sd_serving.config import ServingConfig
from sd_serving.contract import GenerationRequest
from sd_serving.diffusers_parts import load_diffusers
from sd_serving.engine import Engine

ENV = {
    "SD_VARIANT": "environments",
    "SD_ARTIFACT_KEY": "none",
    "SD_SIZES": "64x64",
    "SD_MAX_IMAGES": "4",
    "SD_MAX_PROMPT_CHARS": "1000",
    "SD_DEFAULT_STEPS": "25",
    "SD_MAX_STEPS": "100",
    "SD_DEFAULT_GUIDANCE": "4",
    "SD_MIN_GUIDANCE": "1",
    "SD_MAX_GUIDANCE": "20",
}
REQUESTS = (
    ("a red circle on a blue background", "", 2, 4.0, 11),
    ("a green triangle", "a yellow square, blurry", 1, 7.5, 2**32 - 1),
    ("two white stars, one above the other", "", 1, 1.0, 5),
)


def main(weights: Path, out: Path) -> None:
    parts = load_diffusers(weights, dtype=torch.float32, device=torch.device("cpu"))
    config = ServingConfig.from_env(ENV)
    engine = Engine(parts, config)
    pictures = []
    for prompt, negative_prompt, num_images, guidance_scale, seed in REQUESTS:
        request = GenerationRequest(
            prompt=prompt,
            negative_prompt=negative_prompt,
            num_images=num_images,
            height=64,
            width=64,
            num_inference_steps=config.default_steps,
            guidance_scale=guidance_scale,
            seed=seed,
        )
        (result,) = engine.generate([request])
        pictures += [np.asarray(Image.open(io.BytesIO(png))) for png in result.images]
    np.save(out, np.stack(pictures))
    names = ("diffusers", "transformers", "tokenizers", "huggingface-hub", "torch")
    print(json.dumps({name: version(name) for name in names}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
