"""The published study's figures through this project's formulas, and where the two differ."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.figures.stats import change_matrix, cost_per_million
from benchmark.table import Column, Table, columns

STUDY = Path(__file__).parents[1] / "data" / "study.json"


@dataclass(frozen=True)
class Published:
    """A latency somebody published; `steps` None: not stated. Price and cost may be missing."""

    label: str
    instance_type: str
    latency_s: float
    name: str = ""
    steps: int | None = None
    usd_per_hour: float | None = None
    cost_per_million: float | None = None


@dataclass(frozen=True)
class Study:
    source: str
    region: str
    variants: tuple[Published, ...]
    others: tuple[Published, ...]
    cost_percentages: Mapping[str, Mapping[str, float]]

    def costs(self) -> dict[str, float]:
        """USD per million, by the study's formula from its own latencies and prices."""
        return {
            v.name: cost_per_million(v.latency_s, v.usd_per_hour)
            for v in self.variants
            if v.usd_per_hour is not None
        }


def read_study() -> Study:
    document = json.loads(STUDY.read_text())
    return Study(
        source=document["source"],
        region=document["region"],
        variants=tuple(Published(**entry) for entry in document["variants"]),
        others=tuple(Published(**entry) for entry in document["others"]),
        cost_percentages=document["published_cost_percentages"],
    )


def study_tables(study: Study) -> list[Table[Any]]:
    said = (
        f"published: {study.source}; steps, concurrency and date not stated; "
        f"prices {study.region} as published in the study"
    )
    costs = study.costs()
    return [
        Table[Published](
            "study-cost",
            "The study: latency, price, cost per million",
            [
                Column("variant", "", lambda v: v.name),
                Column("configuration", "", lambda v: v.label),
                Column("mean s", ".2f", lambda v: v.latency_s),
                Column("USD/h", "$.4f", lambda v: v.usd_per_hour),
                Column("USD per million, ours", "$,.2f", lambda v: costs[v.name]),
                Column("as published", "$,.2f", lambda v: v.cost_per_million),
            ],
            study.variants,
            said,
            ["Cost per million = mean latency × price / 3600 × 1,000,000."],
        ),
        matrix_table(
            "study-latency-matrix",
            "The study: latency, pairwise, %",
            {v.name: v.latency_s for v in study.variants},
            said,
        ),
        percentages_table(study, said),
    ]


def matrix_table(slug: str, title: str, values: Mapping[str, float], said: str) -> Table[str]:
    """Row a, column b: by how many per cent b is above (+) or below (−) a."""
    matrix = change_matrix(values)
    return Table(
        slug,
        title,
        [
            Column("from \\ to", "", lambda a: a),
            *columns(values, "+.2f", lambda b, a: matrix[a].get(b)),
        ],
        list(values),
        said,
        ["Row to column: by how many per cent the column's variant differs from the row's."],
    )


@dataclass(frozen=True)
class PublishedChange:
    """By how many per cent b costs more than a, and a more than b (`way_back`), as published.

    `ours` is from the exact costs. If b is x per cent from a, then a is −100x/(100 + x) per cent
    from b: a published pair that doesn't agree with itself can't come from one pair of costs.
    """

    pair: str
    ours: float
    published: float
    way_back: float

    @property
    def difference(self) -> float:
        return round(self.published - round(self.ours, 2), 2)

    @property
    def verdict(self) -> str:
        return "same" if round(self.ours, 2) == self.published else "differs"

    @property
    def implied(self) -> float:
        return -100 * self.way_back / (100 + self.way_back)


def percentages_table(study: Study, said: str) -> Table[PublishedChange]:
    ours, theirs = change_matrix(study.costs()), study.cost_percentages
    changes = [
        PublishedChange(f"{a} → {b}", ours[a][b], published, theirs[b][a])
        for a, others in theirs.items()
        for b, published in others.items()
    ]
    differing = [change.pair for change in changes if change.verdict == "differs"]
    return Table(
        "study-cost-matrix",
        "The study: cost, pairwise, %",
        [
            Column("pair", "", lambda c: c.pair),
            Column("ours", "+.2f", lambda c: c.ours),
            Column("as published", "+.2f", lambda c: c.published),
            Column("published − ours", "+.2f", lambda c: c.difference),
            Column("", "", lambda c: c.verdict),
            Column("implied by the published way back", "+.2f", lambda c: c.implied),
        ],
        changes,
        said,
        [
            f"{len(differing)} of {len(changes)} differ from what the published costs give: "
            f"{', '.join(differing) or 'none'}.",
            "The last column turns the published percentage of the opposite pair around; where it "
            "differs from the published one by more than rounding, the two can't both be right.",
        ],
    )
