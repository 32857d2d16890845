"""What does a picture show? Plain image processing, no network: numpy and PIL only.

The background is the border's colour. What differs from it is the foreground; its largest piece,
cut to its bounding box, is laid over the drawn shapes, and the best overlap names the shape.
"""

import io
import re
from functools import cache
from itertools import count

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from model_assets.tiny.data import (
    COLOURS,
    DEFAULT_BACKGROUND,
    OUTLINES,
    SHAPES,
    SYNONYMS,
    Picture,
    mask,
)

NOTHING = "nothing"
"""The shape of a picture that shows no foreground."""
UNKNOWN = "unknown"
"""The shape of a foreground that is none of the six."""

_BORDER = 3
_LEAST_CONTRAST = 40.0
_LEAST_OVERLAP = 0.75
_GRID = 32

Floats = NDArray[np.float64]


def describe(picture: bytes | Image.Image) -> Picture:
    """The shape, its colour and its background; PNG bytes or an open image of any square size."""
    image = Image.open(io.BytesIO(picture)) if isinstance(picture, bytes) else picture
    pixels = np.asarray(image.convert("RGB"), dtype=np.float64)
    ring = np.ones(pixels.shape[:2], dtype=bool)
    ring[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    background = np.median(pixels[ring], axis=0)
    difference = np.linalg.norm(pixels - background, axis=2)
    contrast = float(np.percentile(difference, 97))
    background_name = _nearest_colour(background)
    if contrast < _LEAST_CONTRAST:
        return Picture(NOTHING, background_name, background_name)
    core = pixels[difference > 0.8 * contrast]
    foreground = np.median(core, axis=0)
    towards = foreground - background
    coverage = (pixels - background) @ towards / max(float(towards @ towards), 1.0)
    return Picture(
        _nearest_shape(_largest_piece(coverage > 0.5)),
        _nearest_colour(foreground),
        background_name,
    )


def _nearest_colour(colour: Floats) -> str:
    return min(COLOURS, key=lambda name: float(np.linalg.norm(colour - COLOURS[name])))


def _largest_piece(filled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces = Image.fromarray(filled.astype(np.int32))
    for number in count(2):
        left = np.flatnonzero(np.asarray(pieces) == 1)
        if not left.size:
            break
        ImageDraw.floodfill(
            pieces, (int(left[0] % pieces.width), int(left[0] // pieces.width)), number
        )
    numbers = np.asarray(pieces)
    largest: NDArray[np.bool_] = numbers == np.bincount(numbers[filled]).argmax()
    return largest


def _cut_out(filled: NDArray[np.bool_]) -> Floats:
    """The bounding box's content on a fixed grid, longer side filling it, the shorter centred."""
    rows, columns = np.flatnonzero(filled.any(axis=1)), np.flatnonzero(filled.any(axis=0))
    box = filled[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(box.shape)
    square = np.zeros((side, side), dtype=np.uint8)
    top, left = (side - box.shape[0]) // 2, (side - box.shape[1]) // 2
    square[top : top + box.shape[0], left : left + box.shape[1]] = box * 255
    resized = Image.fromarray(square).resize((_GRID, _GRID), Image.Resampling.BOX)
    return np.asarray(resized, dtype=np.float64) / 255


@cache
def _templates() -> list[tuple[str, Floats]]:
    """Every shape sharp and blurred: a soft picture of a star has lost its points."""
    templates = []
    for shape in OUTLINES:
        drawn = Image.fromarray((mask(shape, (64, 64), 40, 128) * 255).astype(np.uint8))
        for blur in (0, 2, 4):
            soft = np.asarray(drawn.filter(ImageFilter.GaussianBlur(blur)))
            templates.append((shape, _cut_out(soft > 127)))
    return templates


def _nearest_shape(filled: NDArray[np.bool_]) -> str:
    seen = _cut_out(filled)
    overlap, best = max(
        (float(np.minimum(seen, template).sum() / np.maximum(seen, template).sum()), shape)
        for shape, template in _templates()
    )
    return best if overlap >= _LEAST_OVERLAP else UNKNOWN


# --- prompts -------------------------------------------------------------------------------------

_WORDS = {synonym: name for name, others in SYNONYMS.items() for synonym in others}
_COLOUR = "|".join(COLOURS)
_BACKGROUND = (
    rf"\b({_COLOUR}) (?:background|backdrop|canvas|picture)\b",
    rf"\bbackground (?:is |of |in )?({_COLOUR})\b",
    rf"\bon (?:a )?({_COLOUR})\b(?! (?:{'|'.join(SHAPES)}))",
)


def expected(prompt: str) -> Picture:
    """What a prompt asks for; ValueError if it doesn't name one shape and its colour."""
    text = prompt.lower()
    for synonym, name in _WORDS.items():
        text = re.sub(rf"\b{synonym}\b", name, text)
    background = DEFAULT_BACKGROUND
    for pattern in _BACKGROUND:
        if found := re.search(pattern, text):
            background = found[1]
            text = text[: found.start(1)] + text[found.end(1) :]
            break
    shapes = set(re.findall(rf"\b({'|'.join(SHAPES)})s?\b", text))
    colours = set(re.findall(rf"\b({_COLOUR})\b", text))
    if len(shapes) != 1 or len(colours) != 1:
        raise ValueError(f"not one shape in one colour: {prompt!r}")
    return Picture(shapes.pop(), colours.pop(), background)
