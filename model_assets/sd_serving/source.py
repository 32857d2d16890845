"""The picture that an edit starts from: a stranger's files to pixels of the served size.

PNG, JPEG and WebP, told by what is in them. Sides are read from the header and refused beyond
MOST_SIDE before anything is decoded, which bounds the memory (some 400 MB seen). EXIF's orientation
is applied; transparent parts are put on white, as viewers show them, and said so; colour profiles
are not applied. Animated files are refused: which of the frames, nobody said.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sd_contract.fields import Problem
from sd_contract.invocation import Edit, Refused
from sd_contract.size import Size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_SIDE = 4096
MOST_SCANS = 100
"""Of a JPEG. Progressive ones have some 10; each costs a pass over the whole picture, and takes no
more than a few bytes."""


@dataclass(frozen=True)
class Source:
    pixels: NDArray[np.uint8]
    """[H, W, 3]"""
    redrawn: NDArray[np.bool_] | None
    """[H, W]; None: all of it."""
    warnings: tuple[str, ...]


def read_source(edit: Edit, size: Size) -> Source:
    """The picture scaled (Lanczos) and cut from its centre to `size`, and its mask likewise.

    Raises Refused that names `image` or `mask` and what is wrong with it.
    """
    import numpy as np
    from PIL import Image

    picture = _decoded("image", edit.image)
    whole = picture.size
    picture, said = _on_white(picture)
    picture = _fitted(picture, size, Image.Resampling.LANCZOS)
    redrawn = None if edit.mask is None else _redrawn(_decoded("mask", edit.mask), whole, size)
    said = [*_changes(whole, size), *said]
    return Source(np.array(picture), redrawn, tuple(f"image: {what}." for what in said))


def _redrawn(mask: Image.Image, whole: tuple[int, int], size: Size) -> NDArray[np.bool_]:
    import numpy as np
    from PIL import Image

    if mask.size != whole:
        raise _refused("mask", f"must be {_sides(whole)} as image is, not {_sides(mask.size)}")
    if not _has_alpha(mask):
        raise _refused("mask", "must have an alpha channel: what has alpha 0 is drawn anew")
    # Nearest: there is nothing to mix between "stays" and "is drawn".
    alpha = _fitted(mask.convert("RGBA").getchannel("A"), size, Image.Resampling.NEAREST)
    redrawn: NDArray[np.bool_] = np.asarray(alpha) == 0
    if not redrawn.any():
        raise _refused("mask", f"has alpha 0 nowhere within {size}, so nothing would be drawn")
    return redrawn


def _decoded(name: str, data: bytes) -> Image.Image:
    """As it is meant to be seen."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata that is slightly off
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            picture: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
            _check_header(name, picture, data)
            picture.load()
            return ImageOps.exif_transpose(picture)
        except (Refused, MemoryError):
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise _refused(name, f"more than {MOST_SIDE} pixels a side") from None
        except UnidentifiedImageError:
            raise _refused(name, "must be a PNG, JPEG or WebP file") from None
        except Exception as error:  # noqa: BLE001 - Pillow's decoders raise whatever they like
            raise _refused(name, f"broken or cut off ({error})") from None


def _check_header(name: str, picture: Image.Image, data: bytes) -> None:
    if max(picture.size) > MOST_SIDE:
        raise _refused(name, f"{_sides(picture.size)} pixels, at most {MOST_SIDE} a side are taken")
    # A JPEG with more pictures behind it (MPO) is a camera's, and the first is the photograph.
    if picture.format != "MPO" and getattr(picture, "is_animated", False):
        raise _refused(name, "animated; one picture is needed")
    if picture.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > MOST_SCANS:
        raise _refused(name, f"a JPEG of more than {MOST_SCANS} scans")


def _has_alpha(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info


def _on_white(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """In RGB, and what has changed by it."""
    import numpy as np
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits of grey, which convert() would cut at 255
        grey = np.asarray(picture).astype(np.float32) / 257
        picture = Image.fromarray(grey.round().astype(np.uint8))
    if not _has_alpha(picture):
        return picture.convert("RGB"), []
    picture = picture.convert("RGBA")
    alpha = picture.getchannel("A")
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=alpha)
    return white, [] if alpha.getextrema()[0] == 255 else ["transparent parts were put on white"]


def _fitted(picture: Image.Image, size: Size, method: Any) -> Image.Image:
    from PIL import ImageOps

    if picture.size == (size.width, size.height):
        return picture
    return ImageOps.fit(picture, (size.width, size.height), method)


def _changes(whole: tuple[int, int], size: Size) -> list[str]:
    width, height = whole
    done = []
    if max(size.width / width, size.height / height) != 1:
        done.append("scaled")
    if size.width * height != size.height * width:
        done.append("centre-cropped")
    return [f"{' and '.join(done)} from {_sides(whole)} to {size}"] if done else []


def _sides(of: tuple[int, int]) -> str:
    return f"{of[0]}x{of[1]}"


def _refused(name: str, what: str) -> Refused:
    return Refused(Problem(name, f"{name}: {what}", "invalid_picture"))
