"""The drawn data: one flat shape in one colour on a plain background, and prompts that name it.

A picture is drawn four times larger and averaged down, so edges are smooth. Position and size vary
a little; what the prompt names does not. A fifth of all (shape, colour, background) combinations
and some of the phrasing never occur in training: `held_out_prompts` is made of those.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIZE = 64
DEFAULT_BACKGROUND = "white"
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 25, 30),
    "green": (25, 150, 50),
    "blue": (25, 65, 215),
    "yellow": (250, 230, 40),
    "orange": (255, 135, 10),
    "purple": (145, 30, 175),
    "black": (15, 15, 15),
    "white": (250, 250, 250),
}

Point = tuple[float, float]
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """What a picture shows, or should show."""

    shape: str
    colour: str
    background: str


def combinations() -> list[Picture]:
    return [
        Picture(shape, colour, background)
        for shape in SHAPES
        for colour in COLOURS
        for background in COLOURS
        if colour != background
    ]


@cache
def held_out_combinations() -> frozenset[Picture]:
    everything = combinations()
    chosen = np.random.default_rng(20_210).permutation(len(everything))[: len(everything) // 5]
    return frozenset(everything[i] for i in chosen)


def training_combinations() -> list[Picture]:
    return [picture for picture in combinations() if picture not in held_out_combinations()]


# --- drawing -------------------------------------------------------------------------------------


def _regular(corners: int, radii: tuple[float, ...]) -> list[Point]:
    """Corners on circles around the origin, the first one pointing up."""
    turn = 2 * math.pi / corners
    return [
        (radii[i % len(radii)] * math.sin(i * turn), -radii[i % len(radii)] * math.cos(i * turn))
        for i in range(corners)
    ]


def _heart() -> list[Point]:
    angles = [2 * math.pi * i / 60 for i in range(60)]
    return [
        (
            math.sin(a) ** 3,
            -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 16
            - 0.1,
        )
        for a in angles
    ]


def _cross(arm: float = 0.33) -> list[Point]:
    quarter = [(-arm, -1.0), (arm, -1.0), (arm, -arm)]
    outline: list[Point] = []
    for _ in range(4):
        outline += quarter
        quarter = [(-y, x) for x, y in quarter]
    return outline


OUTLINES: dict[str, Callable[[], list[Point]]] = {
    "circle": lambda: _regular(72, (0.95,)),
    "square": lambda: [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": lambda: [(0.0, -0.95), (1.0, 0.8), (-1.0, 0.8)],
    "star": lambda: _regular(10, (1.1, 0.45)),
    "heart": _heart,
    "cross": _cross,
}


def mask(shape: str, centre: Point, radius: float, size: int = SIZE) -> NDArray[np.float32]:
    """The shape's coverage of each pixel, 0 to 1."""
    scale = 4
    canvas = Image.new("L", (size * scale, size * scale), 0)
    outline = [
        ((centre[0] + x * radius) * scale, (centre[1] + y * radius) * scale)
        for x, y in OUTLINES[shape]()
    ]
    ImageDraw.Draw(canvas).polygon(outline, fill=255)
    return np.asarray(canvas.reduce(scale), dtype=np.float32) / np.float32(255)


def draw(picture: Picture, rng: np.random.Generator) -> Pictures:
    """One picture, size x size x 3; position, size and tint vary a little."""
    centre = (SIZE / 2 + rng.uniform(-5, 5), SIZE / 2 + rng.uniform(-5, 5))
    coverage = mask(picture.shape, centre, rng.uniform(17, 22))[..., None]
    tints = [
        np.clip(np.array(COLOURS[name]) + rng.uniform(-5, 5, 3), 0, 255)
        for name in (picture.colour, picture.background)
    ]
    return np.rint(coverage * tints[0] + (1 - coverage) * tints[1]).astype(np.uint8)


def drawn_pool(count: int, seed: int) -> Pictures:
    """`count` pictures of the training combinations, going round them in order."""
    rng = np.random.default_rng(seed)
    known = training_combinations()
    return np.stack([draw(known[i % len(known)], rng) for i in range(count)])


# --- prompts -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phrasing:
    """Parts a prompt is put together from; {c} shape colour, {s} shape, {b} background colour."""

    openings: tuple[str, ...]
    subjects: tuple[str, ...]
    backgrounds: tuple[str, ...]
    inverted: tuple[str, ...]
    endings: tuple[str, ...]


TRAINING = Phrasing(
    openings=(
        *("",) * 6,
        *("a photo of ",) * 2,
        "a picture of ",
        "a drawing of ",
        "an image of ",
        "a painting of ",
        "an icon of ",
        "a simple picture of ",
        "draw ",
        "please draw ",
        "show me ",
        "there is ",
    ),
    subjects=(
        *("a {c} {s}",) * 6,
        *("{c} {s}",) * 3,
        "the {c} {s}",
        "one {c} {s}",
        "a single {c} {s}",
        "a big {c} {s}",
        "a small {c} {s}",
        "a {c} coloured {s}",
        "a {s} in {c}",
        "a {s} that is {c}",
        "a {s}, {c}",
    ),
    backgrounds=(
        *(" on a {b} background",) * 5,
        *(", {b} background",) * 3,
        " on {b}",
        " on {b} background",
        " with a {b} background",
        " against a {b} background",
        " in front of a {b} background",
        " over a {b} background",
        " on a plain {b} background",
        " and a {b} background",
        " on a {b} backdrop",
        " on a {b} canvas",
        ", the background is {b}",
        ", background {b}",
    ),
    inverted=(
        "{b} background, {subject}",
        "{b} background with {subject}",
        "on a {b} background, {subject}",
        "on a {b} background there is {subject}",
        "a {b} background behind {subject}",
        "a {b} picture with {subject}",
    ),
    endings=(*("",) * 8, ".", "!", ", flat design", ", minimalist", ", high quality", ", simple"),
)

HELD_OUT = Phrasing(
    openings=("", "an illustration of ", "i would like to see ", "make me ", "a poster with "),
    subjects=("a {c} {s}", "{c} {s}", "exactly one {c} {s}", "a lovely {c} {s}"),
    backgrounds=(
        " on a {b} background",
        " before a {b} background",
        " placed on a {b} background",
        " upon a solid {b} background",
        "; {b} background",
        " set against a {b} backdrop",
    ),
    inverted=("a {b} background and on it {subject}", "with a {b} background, {subject}"),
    endings=("", ", clean vector art", ", centered"),
)

SYNONYMS = {
    "circle": ("disc", "dot"),
    "square": ("box",),
    "cross": ("plus sign",),
    "heart": ("love heart",),
    "triangle": ("pyramid",),
    "purple": ("violet",),
}


def _phrase(picture: Picture, phrasing: Phrasing, rng: np.random.Generator) -> str:
    def pick(options: tuple[str, ...]) -> str:
        return options[int(rng.integers(len(options)))]

    def word(name: str) -> str:
        synonyms = SYNONYMS.get(name) if phrasing is TRAINING else None
        return pick(synonyms) if synonyms and rng.random() < 0.12 else name

    subject = pick(phrasing.subjects)
    if picture.background == DEFAULT_BACKGROUND and rng.random() < 0.3:
        text = pick(phrasing.openings) + subject
    elif rng.random() < 0.25:
        text = pick(phrasing.inverted).replace("{subject}", subject)
    else:
        text = pick(phrasing.openings) + subject + pick(phrasing.backgrounds)
    text += pick(phrasing.endings)
    text = text.format(c=word(picture.colour), s=word(picture.shape), b=word(picture.background))
    return text.replace("a orange", "an orange")


def training_prompts(picture: Picture, rng: np.random.Generator) -> Iterator[str]:
    while True:
        yield _phrase(picture, TRAINING, rng)


def held_out_prompts(count: int = 200, seed: int = 7) -> list[tuple[str, Picture]]:
    """Distinct prompts about held-out combinations, in phrasing the training never uses."""
    rng = np.random.default_rng(seed)
    pictures = [picture for picture in combinations() if picture in held_out_combinations()]
    seen_in_training = {
        prompt
        for picture in pictures
        for prompt in islice(training_prompts(picture, np.random.default_rng(seed)), 300)
    }
    prompts: dict[str, Picture] = {}
    while len(prompts) < count:
        picture = pictures[len(prompts) % len(pictures)]
        prompt = _phrase(picture, HELD_OUT, rng)
        if prompt not in seen_in_training:
            prompts.setdefault(prompt, picture)
    return list(prompts.items())
