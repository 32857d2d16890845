"""Pixels to PNG, equal pixels to equal bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def encode_png(pixels: torch.Tensor) -> bytes:
    """uint8 [H, W, 3] on the CPU → PNG without metadata, at a fixed compression level."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels.contiguous().numpy()).save(out, "PNG", compress_level=4)
    return out.getvalue()
