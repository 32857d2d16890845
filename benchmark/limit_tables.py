"""The tables of the physical limit: work in a picture, least seconds, and published latencies."""

import json
from collections.abc import Mapping, Sequence

from benchmark.flops import Work
from benchmark.limit import ACCELERATORS, Accelerator, accelerator_of, least_seconds
from benchmark.report_tables import Cell, Column, Table
from benchmark.study import Published

STEPS_IN_QUESTION = (25, 50)
READ = json.loads(ACCELERATORS.read_text())["read"]


def limit_tables(
    work: Work,
    size: str,
    steps: int,
    guidance_scale: float,
    accelerators: Mapping[str, Accelerator],
    published: Sequence[Published],
) -> list[Table]:
    said = (
        f"SD 2.1 base, {size}, {steps} steps, guidance {guidance_scale:g}, concurrency 1; "
        f"counted with torch's flop counter, data sheets read {READ}; no prices in it"
    )
    per_image = work.per_image(steps, guidance_scale)
    total = sum(per_image.values())
    parts = {
        "text encoder": work.text_encoder,
        "UNet": work.unet,
        "VAE decoder": work.vae_decoder,
    }
    arithmetic: list[list[Cell]] = [
        [
            name,
            part.parameters / 1e6,
            part.flops / 1e12,
            per_image[name] / 1e12,
            per_image[name] / total,
        ]
        for name, part in parts.items()
    ]
    return [
        Table(
            "flops",
            "Arithmetic in one picture",
            [
                Column("part"),
                Column("parameters, million", ",.1f"),
                Column("TFLOP a call and row", ".3f"),
                Column("TFLOP a picture", ".2f"),
                Column("share", ".1%"),
            ],
            [*arithmetic, ["all", None, None, total / 1e12, 1.0]],
            said,
        ),
        Table(
            "least",
            "Least seconds a picture",
            [
                Column("accelerator"),
                Column("peak TFLOPS", ".1f"),
                Column("GB/s", ".0f"),
                Column("arithmetic s", ".3f"),
                Column("weights s", ".3f"),
                Column("least s", ".3f"),
            ],
            [
                [
                    a.name,
                    a.flops_per_s / 1e12,
                    a.bytes_per_s / 1e9,
                    (limit := least_seconds(work, a, steps, guidance_scale)).compute,
                    limit.weights,
                    limit.least,
                ]
                for a in accelerators.values()
            ],
            said,
            [f"{a.name}: {a.peak_note}. Source: {a.source}." for a in accelerators.values()],
        ),
        published_table(work, size, guidance_scale, accelerators, published),
    ]


def published_table(
    work: Work,
    size: str,
    guidance_scale: float,
    accelerators: Mapping[str, Accelerator],
    published: Sequence[Published],
) -> Table:
    rows: list[list[Cell]] = []
    for figure in published:
        accelerator = accelerator_of(figure.instance_type, accelerators)
        if accelerator is None:
            continue
        shares: list[Cell] = [
            least_seconds(work, accelerator, steps, guidance_scale).least / figure.latency_s
            if figure.steps in (None, steps)
            else None
            for steps in STEPS_IN_QUESTION
        ]
        stated = "not stated" if figure.steps is None else figure.steps
        rows.append([figure.label, accelerator.name, figure.latency_s, stated, *shares])
    return Table(
        "limit-published",
        "Published latencies against the limit",
        [
            Column("published"),
            Column("accelerator"),
            Column("s", ".2f"),
            Column("steps"),
            *(Column(f"of the limit, {steps} steps", ".1%") for steps in STEPS_IN_QUESTION),
        ],
        rows,
        f"{size}, guidance {guidance_scale:g}, steps as in the row, concurrency and dates as "
        f"published, data sheets read {READ}; no prices in it",
        [
            "Where the step count isn't stated, both shares are given: the truth is one of them. "
            "The study's is most likely 50 (docs/operations.md)."
        ],
    )
