"""A picture's parameters, read by a parser of Stable Diffusion's tools that isn't ours."""

from __future__ import annotations

import io

from PIL import Image
from sd_parsers import ParserManager
from sd_parsers.data import PromptInfo

_KEPT: list[Image.Image] = []


def parsed(picture: bytes) -> PromptInfo:
    """What the parser finds in `picture`; AssertionError where it finds nothing."""
    image = Image.open(io.BytesIO(picture))
    # sd-parsers 0.6 keeps the last comment by the image's id(): a new image at the address of one
    # that is gone would be read as that one (once in 50 here).
    _KEPT.append(image)
    info = ParserManager().parse(image)
    assert info is not None
    return info
