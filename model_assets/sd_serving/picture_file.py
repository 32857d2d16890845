"""Pixels to a file: PNG, JPEG or WebP, equal requests to equal bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from sd_contract.invocation import Invocation
from sd_serving.metadata import exif, xmp

if TYPE_CHECKING:
    import torch

_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def encode(pixels: torch.Tensor, request: Invocation, parameters: str) -> bytes:
    """uint8 [H, W, 3] on the CPU → a file in the request's format and compression, which says that
    a model drew it, and how: `parameters`."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    picture = Image.fromarray(pixels.contiguous().numpy())
    origin = xmp(edited=request.edit is not None)
    out = io.BytesIO()
    if request.output_format == "png":
        texts = PngInfo()
        texts.add_text("parameters", parameters)  # as iTXt where it isn't Latin-1
        texts.add_itxt("XML:com.adobe.xmp", origin.decode())
        picture.save(out, "PNG", compress_level=4, pnginfo=texts)
    elif request.output_format == "jpeg":
        picture.save(
            out,
            "JPEG",
            # The scale begins at 1, and before Pillow 9 took 0 for "not given".
            quality=max(request.output_compression, 1),
            subsampling=0,
            exif=exif(parameters),
            # Named `xmp` since Pillow 11 only.
            extra=_segment(_JPEG_XMP + origin),
        )
    else:
        quality = request.output_compression
        picture.save(out, "WEBP", quality=quality, exif=exif(parameters), xmp=origin)
    return out.getvalue()


def _segment(content: bytes) -> bytes:
    """JPEG's APP1."""
    return b"\xff\xe1" + (2 + len(content)).to_bytes(2, "big") + content
