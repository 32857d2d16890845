"""What a picture's file says of how it was drawn, and what is sent of one that a user brings.

The text is AUTOMATIC1111's, as this API writes it into its PNGs ("parameters"): the prompt, a line
"Negative prompt: …", and last a line of "Key: value" pairs, where a value with a comma, a colon or
a line's end is a JSON string.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageOps

MAX_SIDE = 1024
"""Pixels: what is sent as JSON has to fit into the gateway's 10 MB, with its mask."""
MOST_PIXELS = 2**25
"""That are decoded, at 4 bytes each and more than once, of the gigabyte which all users share."""
_PAIR = re.compile(r'\s*([\w /]+):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_FIELDS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "Steps": ("num_inference_steps", int),
    "CFG scale": ("guidance_scale", float),
    "Seed": ("seed", int),
    "Size": ("size", str),
    "Model": ("model_id", str),
    "Quality": ("quality", str),
    "Denoising strength": ("strength", float),
}
_NEGATIVE = "Negative prompt: "


class NoParametersError(ValueError):
    """The file doesn't say how it was drawn."""


def parameters_of(content: bytes) -> dict[str, Any]:
    """The request's fields, by the API's names, from a PNG; `model_id` is that of `GET /models`.
    Raises NoParametersError."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()  # text may stand behind the pixels
            text = picture.info.get("parameters")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise NoParametersError("This is no picture that can be read.") from error
    if not isinstance(text, str):
        raise NoParametersError("This picture doesn't say how it was drawn.")
    return parse(text)


def parse(text: str) -> dict[str, Any]:
    """As `parameters_of`, of the text."""
    *prompts, last = text.split("\n")
    pairs = {name.strip(): value.strip() for name, value in _PAIR.findall(last)}
    if "Steps" not in pairs:
        raise NoParametersError("This picture says how it was drawn, but not in a way known here.")
    fields: dict[str, Any] = {}
    try:
        for name, (field, read) in _FIELDS.items():
            if name in pairs:
                fields[field] = read(_unquoted(pairs[name]))
    except ValueError as error:
        raise NoParametersError(f"This picture's parameters can't be read: {error}") from error
    split = next((at for at, line in enumerate(prompts) if line.startswith(_NEGATIVE)), None)
    if split is not None:
        fields["negative_prompt"] = "\n".join(prompts[split:]).removeprefix(_NEGATIVE)
    if prompt := "\n".join(prompts[:split]):
        fields["prompt"] = prompt
    return fields


def _unquoted(value: str) -> str:
    return str(json.loads(value)) if value.startswith('"') else value


@dataclass(frozen=True)
class Source:
    """A picture to start an edit from, as it is sent."""

    png: bytes
    width: int
    height: int

    @property
    def data_url(self) -> str:
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def source(content: bytes) -> Source:
    """Upright, and no larger than MAX_SIDE. Raises ValueError."""
    try:
        with Image.open(io.BytesIO(content)) as opened:
            opened.draft(opened.mode, (MAX_SIDE, MAX_SIDE))  # a JPEG needn't be decoded whole
            too_large = opened.width * opened.height > MOST_PIXELS
            upright = opened if too_large else ImageOps.exif_transpose(opened)
    except Exception as error:  # Pillow raises whatever it likes
        raise ValueError("This is no picture that can be read.") from error
    if too_large:
        raise ValueError(f"This picture has more than {MOST_PIXELS / 1e6:.0f} million pixels.")
    # What is to become of transparency and of 16 bits the API knows, and says.
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
    elif not upright.mode.startswith("I;16"):
        upright = upright.convert("RGB")
    upright.thumbnail((MAX_SIDE, MAX_SIDE))
    file = io.BytesIO()
    upright.save(file, "png")
    return Source(file.getvalue(), upright.width, upright.height)
