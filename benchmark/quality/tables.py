"""The settings side by side."""

from collections.abc import Sequence
from functools import partial
from statistics import median

from benchmark.quality.front import Advice, front
from benchmark.quality.measure import Measured, score_of
from benchmark.quality.settings import BASELINE, name_of
from benchmark.quality.work import full_size, full_size_picture
from benchmark.table import Column, Table

SCORES = {"all right": ("right", ".1%"), "CLIP score": ("CLIP score", ".2f")}
"""By score: its column's header and format."""


def quality_table(measured: Sequence[Measured], advice: Advice, said: str) -> Table[Measured]:
    on_front = front(measured)
    modes = {one.sampling: name for name, one in advice.by_mode().items()}

    def role(one: Measured) -> str:
        if one.sampling == BASELINE:
            return "baseline"
        return modes.get(one.sampling, "")

    scored = [
        Column[Measured](header, spec, partial(score_of, name))
        for name, (header, spec) in SCORES.items()
        if name in measured[0].scores
    ]
    distances = [Column[Measured]("LPIPS", ".3f", lambda one: median(one.distance))]
    return Table(
        "quality",
        "Sampling settings",
        [
            Column("setting", "", lambda one: name_of(one.sampling)),
            Column("advised", "", role),
            Column("evaluations", "", lambda one: one.rows.all),
            Column("share", ".3f", lambda one: one.share),
            Column("share, SD 2.1 base", ".3f", lambda one: full_size().share(one.rows)),
            Column(
                "TFLOP a picture, SD 2.1 base",
                ".1f",
                lambda one: full_size_picture(one.rows) / 1e12,
            ),
            *scored,
            Column("dB, median", ".1f", lambda one: one.db_median),
            Column("dB, 5th percentile", ".1f", lambda one: one.db_p5),
            *(distances if measured[0].distance else []),
            Column("on the front", "", lambda one: "yes" if one in on_front else ""),
        ],
        sorted(measured, key=lambda one: (-one.share, -one.db_median)),
        said,
        [
            "Evaluations: UNet rows a picture, two a step with guidance. Share: of the UNet's "
            "FLOPs in what is taken for the study's setting (it states none; diffusers' default: "
            "PNDM 50, guidance throughout, 102 evaluations), counted by torch's flop counter; of "
            "the network that drew, and of SD 2.1 base's at 512x512, which needn't be run for it. "
            "TFLOP: the whole picture's, texts and decoding included.",
            "dB: PSNR to the picture of 100-linspace from the same seed. On the front: no other "
            "setting has as little work and a higher median.",
            "guidance0.8: without guidance after that share of the steps. cache2: DeepCache, every "
            "second step is full, and the other runs the UNet's first block down and last one up.",
        ],
    )
