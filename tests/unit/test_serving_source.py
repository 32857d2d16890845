"""Files of strangers: each a refusal that names the fault, or the right picture; never more."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sd_contract.invocation import Edit, Refused
from sd_contract.size import Size
from sd_serving.source import MOST_SIDE, Source, read_source
from tests.fakes.serving import picture_file

SIZE = Size(64, 64)


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def read(image: bytes, mask: bytes | None = None, size: Size = SIZE) -> Source:
    return read_source(Edit(image, mask), size)


def refused(image: bytes, mask: bytes | None = None) -> str:
    with pytest.raises(Refused) as caught:
        read(image, mask)
    name, _, what = str(caught.value).partition(": ")
    assert caught.value.field == name
    return what if mask is None else str(caught.value)


def colours(width: int = 64, height: int = 64) -> Image.Image:
    """Every pixel another."""
    ys, xs = np.mgrid[:height, :width]
    planes = [xs * 255 // width, ys * 255 // height, (xs + ys) % 256]
    return Image.fromarray(np.stack(planes, axis=2).astype(np.uint8))


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    """With a header that says what it likes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def webp(width: int, height: int) -> bytes:
    """A lossless one of 8x8, with a header that says other sides (RFC 9649, VP8L)."""
    content = bytearray(saved(Image.new("RGB", (8, 8)), "WEBP", lossless=True))
    assert content[12:16] == b"VP8L"
    sides = int.from_bytes(content[21:25], "little") >> 28 << 28 | (width - 1) | (height - 1) << 14
    content[21:25] = sides.to_bytes(4, "little")
    return bytes(content)


def jpeg(width: int, height: int) -> bytes:
    """Of 64x64, with a frame header that says other sides."""
    content = bytearray(saved(colours(), "JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_picture_of_the_served_size_is_taken_as_it_is(kind: str) -> None:
    source = read(saved(colours(), kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert np.array_equal(source.pixels, np.asarray(colours()))
    assert (source.redrawn, source.warnings) == (None, ())


def test_a_jpeg_is_taken() -> None:
    source = read(saved(colours(), "JPEG", quality=100, subsampling=0))
    assert np.abs(source.pixels.astype(int) - np.asarray(colours())).max() <= 4


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ((128, 128), "image: scaled from 128x128 to 64x64."),
        ((8, 8), "image: scaled from 8x8 to 64x64."),
        ((100, 64), "image: centre-cropped from 100x64 to 64x64."),
        ((200, 100), "image: scaled and centre-cropped from 200x100 to 64x64."),
        ((1, MOST_SIDE), "image: scaled and centre-cropped from 1x4096 to 64x64."),
    ],
)
def test_another_size_is_scaled_and_cropped_and_said_so(sides: tuple[int, int], said: str) -> None:
    source = read(saved(colours(*sides)))
    assert source.pixels.shape == (64, 64, 3)
    assert source.warnings == (said,)


def test_what_is_cropped_is_the_sides() -> None:
    wide = Image.new("RGB", (192, 64), "blue")
    wide.paste(colours(), (64, 0))
    assert np.array_equal(read(saved(wide)).pixels, np.asarray(colours()))


def test_scaled_by_lanczos() -> None:
    scaled = colours(256, 256).resize((64, 64), Image.Resampling.LANCZOS)
    assert np.array_equal(read(saved(colours(256, 256))).pixels, np.asarray(scaled))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_s_orientation_is_applied(kind: str, orientation: int) -> None:
    """The picture as it's meant to be seen is red in its upper left corner."""
    seen = np.zeros((64, 64, 3), np.uint8)
    seen[:32, :32] = (255, 0, 0)
    seen[:32, 32:] = (0, 255, 0)
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.transpose(1, 0, 2),
        6: np.rot90(seen),
        7: seen.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(seen, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read(saved(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)).pixels
    assert np.abs(found[8:24, 8:24].astype(int) - (255, 0, 0)).max() < 10
    assert np.abs(found[8:24, 40:56].astype(int) - (0, 255, 0)).max() < 10


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_grey_and_palette_are_taken(mode: str) -> None:
    picture = Image.linear_gradient("L").resize((64, 64)).convert(mode)
    assert np.array_equal(read(saved(picture)).pixels, np.asarray(picture.convert("RGB")))


def test_sixteen_bits_of_grey_keep_their_brightness() -> None:
    values = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    pixels = read(saved(Image.fromarray(values))).pixels
    assert np.abs(pixels[..., 0] - values / 257.0).max() <= 0.5


def test_sixteen_bits_of_colour_keep_theirs() -> None:
    row = b"".join(struct.pack(">HHH", 0xFFFF, 0x8000, 0) for _ in range(64))
    pixels = read(png(64, 64, depth=16, colour=2, data=(b"\0" + row) * 64)).pixels
    assert pixels[0, 0].tolist() == [255, 128, 0]


def test_cmyk_is_taken() -> None:
    cyan = Image.new("CMYK", (64, 64), (255, 0, 0, 0))
    pixels = read(saved(cyan, "JPEG", quality=100)).pixels.astype(int)
    assert np.abs(pixels - (0, 255, 255)).max() < 10


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_put_on_white_and_said_so(kind: str, mode: str) -> None:
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 32, 64))
    lossless = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    source = read(saved(picture.convert(mode), kind, **lossless))
    assert source.pixels[0, 0].tolist() == [255, 255, 255]
    assert source.pixels[0, 63].tolist() == [0, 0, 0]
    assert source.warnings == ("image: transparent parts were put on white.",)


def test_an_alpha_that_hides_nothing_goes_unsaid() -> None:
    assert read(picture_file(mode="RGBA")).warnings == ()


def test_a_palette_s_transparent_colour_is_put_on_white() -> None:
    picture = Image.new("P", (64, 64), 0)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    assert read(saved(picture, transparency=0)).pixels[0, 0].tolist() == [255, 255, 255]


def mask(width: int = 64, height: int = 64, alpha: int = 0) -> Image.Image:
    """Redrawn in its left half."""
    made = Image.new("RGBA", (width, height), (0, 0, 0, 255))
    made.paste((0, 0, 0, alpha), (0, 0, width // 2, height))
    return made


@pytest.mark.parametrize("sides", [(64, 64), (128, 128), (128, 64)])
def test_alpha_0_is_what_is_redrawn(sides: tuple[int, int]) -> None:
    redrawn = read(saved(colours(*sides)), saved(mask(*sides))).redrawn
    assert redrawn is not None
    assert redrawn[:, :32].all()
    assert not redrawn[:, 32:].any()


def test_a_mask_is_turned_as_its_own_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    redrawn = read(saved(colours()), saved(mask(), exif=exif)).redrawn
    assert redrawn is not None
    assert redrawn[:, 32:].all()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (mask(128, 64), "mask: must be 64x64 as image is, not 128x64"),
        (colours(), "mask: must have an alpha channel: what has alpha 0 is drawn anew"),
        (mask(alpha=1), "mask: has alpha 0 nowhere within 64x64, so nothing would be drawn"),
    ],
)
def test_a_mask_that_is_none_is_refused(wrong: Image.Image, says: str) -> None:
    assert refused(saved(colours()), saved(wrong)) == says


def test_a_mask_outside_of_the_crop_is_refused() -> None:
    wide = Image.new("RGBA", (192, 64), "black")
    wide.paste((0, 0, 0, 0), (0, 0, 8, 64))
    assert "nowhere within 64x64" in refused(saved(colours(192, 64)), saved(wide))


def test_a_broken_mask_is_named() -> None:
    assert refused(saved(colours()), b"x") == "mask: must be a PNG, JPEG or WebP file"


@pytest.mark.parametrize("content", [b"", b"x" * 1000, b"RIFF", saved(colours(), "GIF")])
def test_anything_else_is_not_a_picture(content: bytes) -> None:
    assert refused(content) == "must be a PNG, JPEG or WebP file"


@pytest.mark.parametrize(
    ("sides", "says"),
    [
        ((1, 60_000), "1x60000 pixels, at most 4096 a side are taken"),
        ((4097, 8), "4097x8 pixels, at most 4096 a side are taken"),
        ((10_000, 10_000), "more than 4096 pixels a side"),
        ((2**31 - 1, 2**31 - 1), "more than 4096 pixels a side"),
    ],
)
def test_sides_are_read_before_anything_is_decoded(sides: tuple[int, int], says: str) -> None:
    """There is nothing to decode."""
    assert refused(png(*sides)) == says


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    assert refused(animated(kind)) == "animated; one picture is needed"


def test_a_camera_s_second_picture_is_none_of_it() -> None:
    photograph, preview = colours(), Image.new("RGB", (8, 8))
    both = saved(photograph, "MPO", save_all=True, append_images=[preview])
    assert read(both).pixels.shape == (64, 64, 3)


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    """A few bytes more cost a pass over all of the picture more."""
    whole = saved(colours(512, 512), "JPEG", progressive=True)
    start, end = whole.rindex(b"\xff\xda"), len(whole) - 2
    many = whole[:end] + whole[start:end] * 200 + whole[end:]
    assert read(whole).pixels.any()
    assert refused(many) == "a JPEG of more than 100 scans"


def test_a_text_that_unpacks_to_gigabytes_is_refused() -> None:
    content = saved(colours())
    text = b"zTXt" + b"x\0\0" + zlib.compress(bytes(100_000_000), 9)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    assert "broken" in refused(content[:33] + chunk + content[33:])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_is_cut_off_is_refused(kind: str, share: float) -> None:
    whole = saved(colours(256, 256), kind)
    says = refused(whole[: int(len(whole) * share)])
    assert says.startswith(("broken or cut off (", "must be a PNG, JPEG or WebP file"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damage_is_a_refusal_or_a_picture(kind: str) -> None:
    chance = random.Random(12)
    whole = saved(colours(), kind)
    refusals = []
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        try:
            assert read(bytes(broken)).pixels.shape == (64, 64, 3)
        except Refused as error:
            refusals.append(error.field)
    assert len(refusals) > 10
    assert set(refusals) == {"image"}


BOMBS = {
    "a WebP whose header lies": lambda: webp(16_383, 16_383),
    "a WebP that is all sides": lambda: webp(MOST_SIDE, MOST_SIDE),
    "a JPEG whose header lies": lambda: jpeg(65_000, 65_000),
    "a JPEG that is all sides": lambda: jpeg(MOST_SIDE, MOST_SIDE),
    "a PNG whose header lies": lambda: png(2**31 - 1, 2**31 - 1),
    "a PNG that is all sides": lambda: png(MOST_SIDE, MOST_SIDE),
    "a PNG of one colour": lambda: saved(Image.new("RGBA", (MOST_SIDE, MOST_SIDE))),
}
MEMORY = 500 * 2**20
READER = """
import resource, sys
from sd_contract.invocation import Edit, Refused
from sd_contract.size import Size
from sd_serving.source import read_source
import PIL.ImageOps, PIL.PngImagePlugin, PIL.JpegImagePlugin, PIL.WebPImagePlugin, numpy
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]),) * 2)
try:
    read_source(Edit(sys.stdin.buffer.read()), Size(512, 512))
    print("ok")
except Refused as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there memory has a limit")
@pytest.mark.parametrize("bomb", BOMBS)
def test_memory_is_bounded(bomb: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READER, str(MEMORY)],
        input=BOMBS[bomb](),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
    )
    said = done.stdout.decode().strip()
    assert done.returncode == 0, done.stderr.decode()
    assert said == "ok" or said.startswith("image: ")
