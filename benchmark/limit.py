"""The physical limit: the least seconds a picture can take, by the accelerator's data sheet."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.flops import Part, Work, rows_per_image

ACCELERATORS = Path(__file__).parent / "data" / "accelerators.json"
BYTES_PER_PARAMETER = 2


@dataclass(frozen=True)
class Accelerator:
    """Peak is dense FP16/BF16; `source` says where both figures are from."""

    name: str
    instance_types: tuple[str, ...]
    flops_per_s: float
    bytes_per_s: float
    peak_note: str
    source: str


def read_accelerators(path: Path = ACCELERATORS) -> dict[str, Accelerator]:
    return {
        name: Accelerator(
            name,
            tuple(entry["instance_types"]),
            entry["peak_tflops"] * 1e12,
            entry["bandwidth_gb_per_s"] * 1e9,
            entry["peak_note"],
            entry["source"],
        )
        for name, entry in json.loads(path.read_text())["accelerators"].items()
    }


def accelerator_of(
    instance_type: str, accelerators: Mapping[str, Accelerator]
) -> Accelerator | None:
    return next((a for a in accelerators.values() if instance_type in a.instance_types), None)


@dataclass(frozen=True)
class Limit:
    """Seconds an image. `least` takes, part by part, the longer of compute and weights."""

    compute: float
    weights: float
    least: float


def least_seconds(work: Work, accelerator: Accelerator, steps: int, guidance_scale: float) -> Limit:
    """A lower bound: full peak all the time, every weight read once a call, nothing else moved.

    The guidance rows share a call, and so a reading of the weights.
    """
    rows = rows_per_image(guidance_scale)
    calls: list[tuple[Part, int, int]] = [
        (work.text_encoder, 1, rows),
        (work.unet, steps, rows),
        (work.vae_decoder, 1, 1),
    ]
    compute = weights = least = 0.0
    for part, times, rows_a_call in calls:
        computing = times * rows_a_call * part.flops / accelerator.flops_per_s
        reading = times * part.parameters * BYTES_PER_PARAMETER / accelerator.bytes_per_s
        compute += computing
        weights += reading
        least += max(computing, reading)
    return Limit(compute, weights, least)
