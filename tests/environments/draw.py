"""`python draw.py <weights> <pictures.npy>`: the request path on the libraries that are there.

Writes uint8 [pictures, H, W, 3], the prompts' vectors [prompts, D] beside them, and prints the
versions that drew them, as JSON.
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

from sd_contract.embeddings import read_embeddings
from sd_contract.invocation import Edit, Invocation
from sd_contract.sampling import Sampling
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.diffusers_parts import load_diffusers
from sd_serving.embeddings import embed
from sd_serving.engine import Engine

SIZE = Size(64, 64)
MODES = {"standard": Sampling(25), "fast": Sampling(12, "karras", 0.8, 3)}
EDITED = 0
"""Of the pictures drawn from text, the one that is edited, with and without a mask."""
REQUESTS = (
    ("a red circle on a blue background", "", 2, 4.0, 11),
    ("a green triangle", "a yellow square, blurry", 1, 7.5, 2**32 - 1),
    ("two white stars, one above the other", "", 1, 1.0, 5),
)


def mask() -> bytes:
    """The left half is drawn anew."""
    picture = Image.new("RGBA", (SIZE.width, SIZE.height), "black")
    picture.paste((0, 0, 0, 0), (0, 0, SIZE.width // 2, SIZE.height))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def main(weights: Path, out: Path) -> None:
    parts = load_diffusers(weights, dtype=torch.float32, device=torch.device("cpu"))
    engine = Engine(parts, ServingConfig("environments", "none", (SIZE,), MODES, 4.0, "auto"))
    pictures: list[bytes] = []
    for prompt, negative_prompt, num_images, guidance_scale, seed in REQUESTS:
        request = Invocation(
            prompt=prompt,
            negative_prompt=negative_prompt,
            num_images=num_images,
            size=SIZE,
            num_inference_steps=25,
            guidance_scale=guidance_scale,
            seed=seed,
        )
        pictures += engine.generate([request])[0].images
    fast = Invocation("a blue ring", "red", 1, SIZE, 12, 4.0, 8, quality="fast")
    pictures += engine.generate([fast])[0].images
    start = pictures[EDITED]
    for edit in (Edit(start, strength=0.7), Edit(start, mask(), 1.0), Edit(start, strength=0.0)):
        request = Invocation("a green square", "red", 1, SIZE, 25, 4.0, 3, edit=edit)
        pictures += engine.generate([request])[0].images
    np.save(out, np.stack([np.asarray(Image.open(io.BytesIO(png))) for png in pictures]))
    texts = [prompt for prompt, *_ in REQUESTS] + ["a red circle " * 40]
    np.save(out.with_name("vectors.npy"), read_embeddings(embed(parts, texts).to_json()))
    names = ("diffusers", "transformers", "tokenizers", "huggingface-hub", "torch")
    print(json.dumps({name: version(name) for name in names}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
