"""The gate before an artifact may be served: does it compute what eager float32 computes?

A graph is compared alone, at inputs that the loop gave it, and the bar is measured, not guessed:
what eager PyTorch itself loses in the arithmetic that the graph was compiled for. Whole pictures
show what graphs can't, that the parts are put together rightly. They can't be compared as closely:
the loop turns rounding into another picture now and then, eager's no less than the compiled one's,
so the mean of a size's pictures is held against the worst that eager drew.
"""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inf2.artifact import IDENTICAL_DB, PASSED, SAMPLES, Bar, GraphCheck, Parity, ParityPicture
from inf2.samples import load_samples, relative_rms
from sd_contract.invocation import Edit, Invocation
from sd_contract.sampling import STANDARD, Sampling
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.engine import Engine
from sd_serving.parts import Parts

if TYPE_CHECKING:
    from inf2.compiled_parts import CompiledParts

PROMPTS = (
    # Guidance 1.0 has one row a picture, which runs without its pair's other half.
    ("a red circle on a white background", 7.5),
    ("an astronaut riding a horse on mars, oil painting", 7.5),
    ("a blue square", 1.0),
    ("a quiet harbour at dawn, photograph", 7.5),
)
EDIT_STRENGTH = 0.0
"""Of each size's first picture: it goes through the VAE, there and back, and no step makes another
picture of its rounding."""
# Time steps 999, 799, 599, 400 and 200.
STEPS = 5
# Unit roundoff is 2^-8 and 2^-24. An answer in bfloat16 can't be closer than that; one in float32
# comes from some 1000 roundings in a row (SD 2.1's UNet has 857 operations that round), and two
# orders of them may differ by as much where none cancels another.
RMS_FLOOR = {"bfloat16": 2**-8, "float32": 1000 * 2**-24}


class ParityTooLow(Exception):
    pass


def choose_pictures(
    sizes: Sequence[Size], *, steps: int = STEPS, count: int = len(PROMPTS)
) -> tuple[ParityPicture, ...]:
    """`count` from text for each size, and one edit."""
    pictures: list[ParityPicture] = []
    for size in sizes:
        drawn = [
            ParityPicture(
                prompt, seed, guidance, steps, size, f"parity/{len(pictures) + seed - 1}.png"
            )
            for seed, (prompt, guidance) in enumerate(PROMPTS[:count], start=1)
        ]
        edit = replace(
            drawn[0],
            edited=drawn[0].reference,
            strength=EDIT_STRENGTH,
            reference=f"parity/{len(pictures) + len(drawn)}.png",
        )
        pictures += [*drawn, edit]
    return tuple(pictures)


def draw(parts: Parts, pictures: Sequence[ParityPicture], folder: Path) -> list[bytes]:
    """One PNG each, by the request path that serves. `folder` has what is edited."""
    engine = Engine(
        parts,
        ServingConfig(
            variant="parity",
            artifact_key="",
            sizes=tuple(dict.fromkeys(picture.size for picture in pictures)),
            modes={STANDARD: Sampling(STEPS)},
            default_guidance_scale=1.0,
            dtype="auto",
        ),
    )
    return [_draw(engine, picture, folder) for picture in pictures]


def _draw(engine: Engine, picture: ParityPicture, folder: Path) -> bytes:
    edit = None
    if picture.edited:
        edit = Edit((folder / picture.edited).read_bytes(), strength=picture.strength)
    request = Invocation(
        prompt=picture.prompt,
        negative_prompt="",
        num_images=1,
        size=picture.size,
        num_inference_steps=picture.steps,
        guidance_scale=picture.guidance_scale,
        seed=picture.seed,
        edit=edit,
    )
    (answer,) = engine.generate([request])
    return answer.images[0]


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


def allowed_rms(eager_rms: float, dtype: str, bar: Bar) -> float:
    """The relative RMS error that a graph in `dtype` may have where eager's is `eager_rms`."""
    return max(bar.rms_ratio * eager_rms, RMS_FLOOR[dtype])


def require_parity(parts: CompiledParts, parity: Parity, folder: Path) -> Parity:
    """`parity` with what `parts` reach, as far as they have its graphs and sizes; `folder` is the
    artifact.

    Raises ParityTooLow that names the graph and its input, or the pictures, with the figures found
    and allowed.
    """
    graphs = _measure_graphs(parts, parity, folder)
    problems = list(_graph_problems(graphs, parity.bar))
    if not problems:
        pictures = [picture for picture in parity.pictures if picture.size in parts.sizes]
        pictures = _measure_pictures(parts, pictures, folder)
        problems = list(_picture_problems(pictures, parity.bar))
    if problems:
        raise ParityTooLow(f"parity: {'; '.join(problems)}. What is compiled is kept.")
    return replace(parity, status=PASSED, graphs=graphs, pictures=tuple(pictures))


def _measure_graphs(
    parts: CompiledParts, parity: Parity, folder: Path
) -> dict[str, tuple[GraphCheck, ...]]:
    import torch

    samples = load_samples(folder / SAMPLES)
    with torch.inference_mode():
        return {
            graph: tuple(
                replace(check, found_rms=relative_rms(network(*sample.inputs), sample.output))
                for check, sample in zip(parity.graphs[graph], samples[graph], strict=True)
            )
            for graph, network in parts.networks().items()
        }


def _graph_problems(graphs: Mapping[str, Sequence[GraphCheck]], bar: Bar) -> Iterator[str]:
    for graph, checks in graphs.items():
        # Not "greater than", which a NaN isn't.
        wrong = [check for check in checks if not _rms(check) <= check.allowed_rms]
        if wrong:
            worst = max(wrong, key=lambda check: _rms(check) / check.allowed_rms)
            yield (
                f"{graph} is wrong at {len(wrong)} of {len(checks)} inputs, most at {worst.input}: "
                f"relative RMS error {_rms(worst):.2g}, allowed {worst.allowed_rms:.2g} "
                f"({bar.rms_ratio:g} times eager's {worst.eager_rms:.2g}, or what rounding takes)"
            )


def _rms(check: GraphCheck) -> float:
    return math.nan if check.found_rms is None else check.found_rms


def _measure_pictures(
    parts: CompiledParts, pictures: Sequence[ParityPicture], folder: Path
) -> list[ParityPicture]:
    return [
        replace(picture, found_db=psnr_db(png, (folder / picture.reference).read_bytes()))
        for picture, png in zip(pictures, draw(parts, pictures, folder), strict=True)
    ]


def _picture_problems(pictures: Sequence[ParityPicture], bar: Bar) -> Iterator[str]:
    for (size, edited), group in groupby(pictures, key=lambda p: (p.size, bool(p.edited))):
        drawn = list(group)
        found = [_db(picture) for picture in drawn]
        everything = ", ".join(f"{db:g}" for db in found)
        mean, least = statistics.fmean(found), bar.mean_db([p.eager_db for p in drawn])
        if mean < least:
            kind = "edits" if edited else "pictures"
            yield (
                f"the {size} {kind} have {mean:.4g} dB on average, which is "
                f"{least - mean:.2f} dB below the bar of {least:.4g} dB (all: {everything}; "
                f"eager: {', '.join(f'{p.eager_db:g}' for p in drawn)})"
            )
        worst = min(drawn, key=_db)
        if bar.parity_db is not None and _db(worst) < bar.parity_db:
            yield (
                f"{_db(worst):g} dB is {bar.parity_db - _db(worst):.2f} dB below the bar of "
                f"{bar.parity_db:g} dB that sd.kinds.neuron.compile.parity_db sets "
                f"({size}, seed {worst.seed}, {worst.prompt!r}; all: {everything})"
            )


def _db(picture: ParityPicture) -> float:
    return 0.0 if picture.found_db is None else picture.found_db


def quality(parity: Parity) -> dict[str, Any]:
    """The figures for people, flat, at most 600 characters as JSON; null where they haven't been
    measured yet. `rms` is relative to the answer's own RMS; its ratio is to what eager loses in the
    same arithmetic (or to rounding's floor), and `rms_ratio` of the bar is the most allowed."""
    drawn = [p for p in parity.pictures if not p.edited]
    found = [p.found_db for p in drawn if p.found_db is not None]
    eager = [p.eager_db for p in drawn]
    edits = [p.found_db for p in parity.pictures if p.edited and p.found_db is not None]
    figures: dict[str, Any] = {
        "parity": parity.status,
        "pictures_db_min": min(found, default=None),
        "pictures_db_mean": round(statistics.fmean(found), 2) if found else None,
        "pictures_db_eager_min": min(eager),
        "pictures_db_eager_mean": round(statistics.fmean(eager), 2),
        "edits_db_min": min(edits, default=None),
    }
    for part, graphs in groupby(sorted(parity.graphs), key=lambda graph: graph.split("/")[0]):
        checks = [check for graph in graphs for check in parity.graphs[graph]]
        rms = [c.found_rms for c in checks if c.found_rms is not None]
        ratio = [
            parity.bar.rms_ratio * c.found_rms / c.allowed_rms
            for c in checks
            if c.found_rms is not None
        ]
        figures[f"{part}_rms_max"] = _rounded(max(rms, default=None))
        figures[f"{part}_rms_ratio_max"] = _rounded(max(ratio, default=None))
    return figures


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")
