"""Masked edits whose result can be told: a red circle on white, to be a blue one."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from model_assets.tiny.data import Picture, draw
from model_assets.tiny.picture_check import describe
from sd_contract.invocation import Edit
from sd_serving.engine import Engine
from tests.fakes.serving import mask_file, request

RED = Picture("circle", "red", "white")
BLUE = Picture("circle", "blue", "white")
MARGIN = 3
"""Pixels around the circle that are drawn anew as well."""


def red_circle(number: int) -> tuple[bytes, bytes]:
    """A picture and its mask."""
    pixels = draw(RED, np.random.default_rng(number))
    ys, xs = np.nonzero(np.abs(pixels.astype(int) - pixels[0, 0]).sum(axis=2) > 60)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    left, upper, right, lower = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    box = (left - MARGIN, upper - MARGIN, right + MARGIN, lower + MARGIN)
    return file.getvalue(), mask_file(box=tuple(map(int, box)))


def recoloured(engine: Engine, count: int, steps: int = 25) -> int:
    """How many of `count` such edits show what they should."""
    right = 0
    for number in range(count):
        asked = request(
            prompt="a blue circle on a white background",
            num_inference_steps=steps,
            guidance_scale=4.0,
            seed=number,
            edit=Edit(*red_circle(number)),
        )
        (answer,) = engine.generate([asked])
        right += describe(answer.images[0]) == BLUE
    return right
