"""The gate before an artifact may be served: does it draw what eager float32 draws?"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from inf2.artifact import Picture
from sd_serving.config import ServingConfig, Size
from sd_serving.contract import GenerationRequest
from sd_serving.engine import Engine, Parts

PROMPTS = (
    # Guidance 1.0 has one row a picture, which runs without its pair's other half.
    ("a red circle on a white background", 7.5),
    ("an astronaut riding a horse on mars, oil painting", 7.5),
    ("a blue square", 1.0),
    ("a quiet harbour at dawn, photograph", 7.5),
)
STEPS = 10
IDENTICAL_DB = 100.0
"""Stands for infinity, which JSON can't say."""


class ParityTooLow(Exception):
    pass


def choose_pictures(
    sizes: Sequence[Size], *, steps: int = STEPS, count: int = len(PROMPTS)
) -> tuple[Picture, ...]:
    cases = [
        (size, seed, *case) for size in sizes for seed, case in enumerate(PROMPTS[:count], start=1)
    ]
    return tuple(
        Picture(prompt, seed, guidance, steps, size, f"parity/{number}.png")
        for number, (size, seed, prompt, guidance) in enumerate(cases)
    )


def draw(parts: Parts, pictures: Sequence[Picture]) -> list[bytes]:
    """One PNG each, by the request path that serves."""
    sizes = tuple(dict.fromkeys(picture.size for picture in pictures))
    steps = max(picture.steps for picture in pictures)
    engine = Engine(
        parts,
        ServingConfig(
            variant="parity",
            artifact_key="",
            sizes=sizes,
            max_images=1,
            max_prompt_chars=max(len(picture.prompt) for picture in pictures),
            default_steps=steps,
            max_steps=steps,
            default_guidance=1.0,
            min_guidance=1.0,
            max_guidance=max(picture.guidance_scale for picture in pictures),
        ),
    )
    return [_draw(engine, picture) for picture in pictures]


def _draw(engine: Engine, picture: Picture) -> bytes:
    height, width = picture.size
    request = GenerationRequest(
        prompt=picture.prompt,
        negative_prompt="",
        num_images=1,
        height=height,
        width=width,
        num_inference_steps=picture.steps,
        guidance_scale=picture.guidance_scale,
        seed=picture.seed,
    )
    (result,) = engine.generate([request])
    return result.images[0]


def psnr_db(one: bytes, other: bytes) -> float:
    """Peak signal-to-noise ratio of two PNGs of one size, in dB, at most IDENTICAL_DB."""
    import numpy as np
    from PIL import Image

    a, b = (np.asarray(Image.open(io.BytesIO(png)), dtype=np.float64) for png in (one, other))
    if a.shape != b.shape:
        raise ValueError(f"pictures of {a.shape} and {b.shape} can't be compared")
    error = float(((a - b) ** 2).mean())
    if error == 0:
        return IDENTICAL_DB
    return min(round(10 * math.log10(255**2 / error), 2), IDENTICAL_DB)


def require_parity(
    parts: Parts, pictures: Sequence[Picture], references: Sequence[bytes], bar_db: float
) -> tuple[float, ...]:
    """The PSNR of each picture as `parts` draw it.

    Raises ParityTooLow that says by how much the worst one misses `bar_db`.
    """
    found = tuple(
        psnr_db(png, reference)
        for png, reference in zip(draw(parts, pictures), references, strict=True)
    )
    worst = min(found)
    if worst < bar_db:
        picture = pictures[found.index(worst)]
        everything = ", ".join(f"{db:g}" for db in found)
        raise ParityTooLow(
            f"parity: {worst:g} dB is {bar_db - worst:.2f} dB below the bar of {bar_db:g} dB "
            f"(seed {picture.seed}, {picture.prompt!r}; all: {everything}). The graphs are kept: "
            "with a lower bar the compile goes on from them."
        )
    return found
