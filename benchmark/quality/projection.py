"""`benchmark project`: what published seconds would become in other sampling settings. Calculated,
never measured."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.figures.limit import accelerator_of
from benchmark.figures.stats import cost_per_million
from benchmark.figures.study import Published, read_study
from benchmark.options import ProjectOptions
from benchmark.quality.settings import STUDY_EVALUATIONS, name_of, named
from benchmark.quality.work import Rows, full_size_picture
from benchmark.table import NO_PRICE, Cell, Column, Table
from sd_contract.sampling import Sampling
from stacks.catalogue.prices import read_prices


@dataclass(frozen=True)
class Projected:
    """`usd_per_hour` None: not known."""

    published: Published
    sampling: Sampling
    usd_per_hour: float | None

    @property
    def share(self) -> float:
        """Of the published picture's FLOPs, texts and decoding included."""
        steps = self.published.steps
        theirs = Rows(2 * steps if steps else STUDY_EVALUATIONS)
        return self._flops / full_size_picture(theirs)

    @property
    def seconds(self) -> float:
        return self.published.latency_s * self.share

    @property
    def of_the_limit(self) -> float | None:
        """Of the published seconds, the share that the chip would need at its peak."""
        accelerator = accelerator_of(self.published.instance_type)
        if accelerator is None:
            return None
        return self._flops / (accelerator.peak_tflops * 1e12) / self.seconds

    @property
    def usd_per_million(self) -> float | None:
        if self.usd_per_hour is None:
            return None
        return cost_per_million(self.seconds, self.usd_per_hour)

    @property
    def _flops(self) -> int:
        return full_size_picture(Rows.of(self.sampling))


def project(options: ProjectOptions) -> str:
    """Raises BenchmarkError."""
    settings = [named(text) for text in options.settings]
    study, prices = read_study(), read_prices()
    *_, newest = (other for other in study.others if other.steps == 50)

    def price(published: Published) -> float | None:
        found = prices.find(options.region, published.instance_type)
        return found.usd_per_hour if found else None

    rows = [
        Projected(published, sampling, price(published))
        for published in (*study.variants, newest)
        for sampling in settings
    ]
    said = f"calculated, nothing measured; 512x512, prices {options.region} of {prices.date}"
    return projection_table(rows, read_quality(options.quality), said).markdown()


def read_quality(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """What `benchmark quality` wrote, by setting. Raises BenchmarkError."""
    try:
        return {row["setting"]: row for row in json.loads(path.read_text())["rows"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"--quality {path}: {error!r}; python -m benchmark quality") from error


def projection_table(
    rows: Sequence[Projected], quality: Mapping[str, Mapping[str, Any]], said: str
) -> Table[Projected]:
    def right(row: Projected) -> Cell:
        scores: Mapping[str, float] = quality.get(name_of(row.sampling), {}).get("scores", {})
        return scores.get("all right")

    def db(row: Projected) -> Cell:
        found: float | None = quality.get(name_of(row.sampling), {}).get("db_median")
        return found

    return Table(
        "projection",
        "Projection",
        [
            Column("published", "", lambda row: row.published.label),
            Column("s", ".2f", lambda row: row.published.latency_s),
            Column("steps", "", lambda row: row.published.steps or "not stated"),
            Column("setting", "", lambda row: name_of(row.sampling)),
            Column("FLOPs", ".3f", lambda row: row.share),
            Column("projected s", ".2f", lambda row: row.seconds),
            Column("of the limit", ".1%", lambda row: row.of_the_limit),
            Column("USD per million", "$,.2f", lambda row: row.usd_per_million or NO_PRICE),
            Column("right, small model", ".1%", right),
            Column("dB, small model", ".1f", db),
        ],
        rows,
        said,
        [
            "FLOPs: of the whole picture, as a share of the published one's, which is taken as "
            "guided throughout and, where the steps aren't stated, as diffusers' default of PNDM "
            "50. Seconds are taken to shrink with them, so the share of the chip's limit stays: "
            "what doesn't shrink (network, PNG, launching kernels) makes them more.",
            "The small model is a toy: its quality says which settings to try on real weights "
            "(`python -m benchmark quality --model FOLDER`), not what they lose there.",
        ],
    )
