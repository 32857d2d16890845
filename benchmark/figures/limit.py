"""The physical limit: the least seconds a picture can take, by the accelerator's data sheet."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.figures.flops import Calls, ComponentWork, Work, count_work
from benchmark.figures.study import Published, read_study
from benchmark.options import LimitOptions
from benchmark.table import Cell, Column, Table, columns

BYTES_PER_PARAMETER = 2
STEPS_IN_QUESTION = (25, 50)


@dataclass(frozen=True)
class Accelerator:
    """Peak is dense FP16/BF16; `source` says where both figures are from."""

    name: str
    instance_types: Sequence[str]
    peak_tflops: float
    bandwidth_gb_per_s: float
    peak_note: str
    source: str


DATA = json.loads((Path(__file__).parents[1] / "data" / "accelerators.json").read_text())
ACCELERATORS = [Accelerator(name, **entry) for name, entry in DATA["accelerators"].items()]


def accelerator_of(instance_type: str) -> Accelerator | None:
    return next((a for a in ACCELERATORS if instance_type in a.instance_types), None)


@dataclass(frozen=True)
class Limit:
    """Seconds an image. `least` takes, call by call, the longer of compute and weights."""

    accelerator: Accelerator
    compute: float
    weights: float
    least: float


def least_seconds(work: Work, accelerator: Accelerator, steps: int, guidance_scale: float) -> Limit:
    """A lower bound: full peak all the time, every weight read once a call, nothing else moved.

    The guidance rows share a call, and so a reading of the weights.
    """
    compute = weights = least = 0.0
    for calls in work.per_image(steps, guidance_scale):
        read = calls.times * calls.component.parameters * BYTES_PER_PARAMETER
        computing = calls.flops / (accelerator.peak_tflops * 1e12)
        reading = read / (accelerator.bandwidth_gb_per_s * 1e9)
        compute += computing
        weights += reading
        least += max(computing, reading)
    return Limit(accelerator, compute, weights, least)


def limit_tables(options: LimitOptions) -> list[Table[Any]]:
    """Raises ValueError if the size doesn't fit the model's latents."""
    (width, height), steps, guidance_scale = options.size, options.steps, options.guidance
    work = count_work(width, height)
    read = f"data sheets read {DATA['read']}; no prices in it"
    said = (
        f"SD 2.1 base, {width}x{height}, {steps} steps, guidance {guidance_scale:g}, "
        f"concurrency 1; counted with torch's flop counter, {read}"
    )
    return [
        arithmetic_table(work.per_image(steps, guidance_scale), said),
        Table[Limit](
            "least",
            "Least seconds a picture",
            [
                Column("accelerator", "", lambda limit: limit.accelerator.name),
                Column("peak TFLOPS", ".1f", lambda limit: limit.accelerator.peak_tflops),
                Column("GB/s", ".0f", lambda limit: limit.accelerator.bandwidth_gb_per_s),
                Column("arithmetic s", ".3f", lambda limit: limit.compute),
                Column("weights s", ".3f", lambda limit: limit.weights),
                Column("least s", ".3f", lambda limit: limit.least),
            ],
            [least_seconds(work, a, steps, guidance_scale) for a in ACCELERATORS],
            said,
            [f"{a.name}: {a.peak_note}. Source: {a.source}." for a in ACCELERATORS],
        ),
        published_table(
            work,
            guidance_scale,
            f"{width}x{height}, guidance {guidance_scale:g}, steps as in the row, concurrency and "
            f"dates as published, {read}",
        ),
    ]


def arithmetic_table(per_image: Sequence[Calls], said: str) -> Table[Calls | None]:
    """Row None: all of them."""
    total = sum(calls.flops for calls in per_image)

    def component(of: Callable[[ComponentWork], float]) -> Callable[[Calls | None], Cell]:
        return lambda calls: of(calls.component) if calls else None

    def flops(calls: Calls | None) -> int:
        return calls.flops if calls else total

    return Table(
        "flops",
        "Arithmetic in one picture",
        [
            Column("part", "", lambda calls: calls.name if calls else "all"),
            Column("parameters, million", ",.1f", component(lambda c: c.parameters / 1e6)),
            Column("TFLOP a call and row", ".3f", component(lambda c: c.flops / 1e12)),
            Column("TFLOP a picture", ".2f", lambda calls: flops(calls) / 1e12),
            Column("share", ".1%", lambda calls: flops(calls) / total),
        ],
        [*per_image, None],
        said,
    )


def published_table(
    work: Work, guidance_scale: float, said: str
) -> Table[tuple[Published, Accelerator]]:
    def share(header: str, row: tuple[Published, Accelerator]) -> float | None:
        figure, accelerator = row
        steps = shares[header]
        if figure.steps not in (None, steps):
            return None
        return least_seconds(work, accelerator, steps, guidance_scale).least / figure.latency_s

    study = read_study()
    published = (*study.variants, *study.others)
    shares = {f"of the limit, {steps} steps": steps for steps in STEPS_IN_QUESTION}
    return Table(
        "limit-published",
        "Published latencies against the limit",
        [
            Column("published", "", lambda row: row[0].label),
            Column("accelerator", "", lambda row: row[1].name),
            Column("s", ".2f", lambda row: row[0].latency_s),
            Column("steps", "", lambda row: row[0].steps or "not stated"),
            *columns(shares, ".1%", share),
        ],
        [(p, a) for p in published if (a := accelerator_of(p.instance_type))],
        said,
        [
            "Where the step count isn't stated, both shares are given: the truth is one of them. "
            "The study's is most likely 50 (docs/operations.md)."
        ],
    )
