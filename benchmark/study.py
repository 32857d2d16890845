"""The published study's figures through this project's formulas, and where the two differ."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.report_tables import Cell, Column, Table, matrix_table
from benchmark.stats import change_matrix, cost_per_million

STUDY = Path(__file__).parent / "data" / "study.json"


@dataclass(frozen=True)
class Published:
    """A latency somebody published; `steps` None: not stated. Price and cost may be missing."""

    name: str
    label: str
    instance_type: str
    latency_s: float
    steps: int | None
    usd_per_hour: float | None
    cost_per_million: float | None


@dataclass(frozen=True)
class Study:
    source: str
    region: str
    variants: tuple[Published, ...]
    others: tuple[Published, ...]
    cost_percentages: Mapping[str, Mapping[str, float]]

    @property
    def published(self) -> tuple[Published, ...]:
        return self.variants + self.others

    def costs(self) -> dict[str, float]:
        """USD per million, by the study's formula from its own latencies and prices."""
        return {
            v.name: cost_per_million(v.latency_s, v.usd_per_hour)
            for v in self.variants
            if v.usd_per_hour is not None
        }


def read_study(path: Path = STUDY) -> Study:
    document = json.loads(path.read_text())

    def published(entry: Mapping[str, object]) -> Published:
        return Published(
            name=str(entry.get("name", entry["label"])),
            label=str(entry["label"]),
            instance_type=str(entry["instance_type"]),
            latency_s=float(str(entry["latency_s"])),
            steps=None if entry.get("steps") is None else int(str(entry["steps"])),
            usd_per_hour=_number(entry.get("usd_per_hour")),
            cost_per_million=_number(entry.get("cost_per_million")),
        )

    return Study(
        source=document["source"],
        region=document["region"],
        variants=tuple(published(entry) for entry in document["variants"]),
        others=tuple(published(entry) for entry in document["others"]),
        cost_percentages=document["published_cost_percentages"],
    )


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def study_tables(study: Study) -> list[Table]:
    said = (
        f"published: {study.source}; steps, concurrency and date not stated; "
        f"prices {study.region} as published in the study"
    )
    costs = study.costs()
    return [
        Table(
            "study-cost",
            "The study: latency, price, cost per million",
            [
                Column("variant"),
                Column("configuration"),
                Column("mean s", ".2f"),
                Column("USD/h", "$.4f"),
                Column("USD per million, ours", "$,.2f"),
                Column("as published", "$,.2f"),
            ],
            [
                [
                    v.name,
                    v.label,
                    v.latency_s,
                    v.usd_per_hour,
                    costs[v.name],
                    v.cost_per_million,
                ]
                for v in study.variants
            ],
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


def percentages_table(study: Study, said: str) -> Table:
    """Ours from the exact costs beside the published percentages, and the way back.

    If b is x per cent from a, then a is −100x/(100 + x) per cent from b: a published pair that
    doesn't agree with itself can't come from one pair of costs.
    """
    ours = change_matrix(study.costs())
    rows: list[list[Cell]] = []
    for a, others in study.cost_percentages.items():
        for b, published in others.items():
            back = study.cost_percentages[b][a]
            implied = -100 * back / (100 + back)
            rows.append(
                [
                    f"{a} → {b}",
                    ours[a][b],
                    published,
                    round(published - round(ours[a][b], 2), 2),
                    "same" if round(ours[a][b], 2) == published else "differs",
                    implied,
                ]
            )
    differing = [str(row[0]) for row in rows if row[4] == "differs"]
    return Table(
        "study-cost-matrix",
        "The study: cost, pairwise, %",
        [
            Column("pair"),
            Column("ours", "+.2f"),
            Column("as published", "+.2f"),
            Column("published − ours", "+.2f"),
            Column(""),
            Column("implied by the published way back", "+.2f"),
        ],
        rows,
        said,
        [
            f"{len(differing)} of {len(rows)} differ from what the published costs give: "
            f"{', '.join(differing) or 'none'}.",
            "The last column turns the published percentage of the opposite pair around; where it "
            "differs from the published one by more than rounding, the two can't both be right.",
        ],
    )
