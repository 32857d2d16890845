"""The tables of a run: latency, price and quality; cost; pairwise per cent; load."""

from collections.abc import Sequence

from benchmark.analysis import PhaseSummary, VariantFigures
from benchmark.detail_tables import failures_table, served_table, stages_table
from benchmark.records import Results
from benchmark.report_tables import (
    NO_PRICE,
    Cell,
    Column,
    Table,
    base_load,
    matrix_table,
    statement,
)

P99_NOTE = (
    "p99 of a hundred requests rests on the slowest two; "
    "latency is the client's, of answered requests only."
)


def run_tables(
    results: Results, figures: Sequence[VariantFigures], latency_bound_s: float
) -> list[Table]:
    base = statement(results, base_load(figures))
    every = statement(results, "load as in the row")
    tables = [
        headline(figures, base),
        cost_table(figures, base, latency_bound_s),
        *_matrices(figures, base),
        load_table(figures, every),
        stages_table(figures, base),
        failures_table(figures, every),
        served_table(figures, base),
    ]
    return [table for table in tables if table.rows]


def headline(figures: Sequence[VariantFigures], said: str) -> Table:
    scores = list(dict.fromkeys(name for f in figures for name in f.quality))
    rows: list[list[Cell]] = []
    for f in figures:
        latency = f.base.latency
        rows.append(
            [
                f.served.name,
                f.served.engine,
                _instances(f),
                f"{f.base.ok}/{f.base.sent}",
                *(
                    [latency.mean, latency.half_width, latency.p50, latency.p90, latency.p99]
                    if latency
                    else [None] * 5
                ),
                _money(f, f.served.usd_per_hour),
                _money(f, f.cost_per_million),
                *(f.quality.get(name) for name in scores),
            ]
        )
    return Table(
        "headline",
        "Latency, price and quality",
        [
            Column("variant"),
            Column("engine"),
            Column("instance"),
            Column("answered"),
            Column("mean s", ".3f"),
            Column("±95 % s", ".3f"),
            Column("p50 s", ".3f"),
            Column("p90 s", ".3f"),
            Column("p99 s", ".3f"),
            Column("USD/h", "$.4f"),
            Column("USD per million", "$,.2f"),
            *(Column(name, ".2f" if name.startswith("CLIP") else ".0%") for name in scores),
        ],
        rows,
        said,
        [P99_NOTE, *_quality_note(figures)],
    )


def _quality_note(figures: Sequence[VariantFigures]) -> list[str]:
    pictures = sorted({f.pictures for f in figures if f.quality})
    counts = (
        " to ".join(str(count) for count in dict.fromkeys((pictures[0], pictures[-1])))
        if (pictures)
        else ""
    )
    return [f"Quality is of {counts} pictures a variant, same prompts and seeds."] if counts else []


def _money(figures: VariantFigures, usd: float | None) -> Cell:
    return NO_PRICE if figures.served.usd_per_hour is None else usd


def _instances(figures: VariantFigures) -> str:
    count = figures.served.instance_count
    return figures.served.instance_type + (f" × {count}" if count > 1 else "")


def cost_table(figures: Sequence[VariantFigures], said: str, latency_bound_s: float) -> Table:
    return Table(
        "cost",
        "Cost per million pictures",
        [
            Column("variant"),
            Column("mean latency × price", "$,.2f"),
            Column("at best throughput", "$,.2f"),
            Column("reached with"),
            Column("images/s", ".3f"),
            Column("p90 s", ".3f"),
        ],
        [
            [
                f.served.name,
                _money(f, f.cost_per_million),
                _money(f, f.best_cost_per_million),
                f.best.load if f.best else None,
                f.best.throughput if f.best else None,
                f.best.latency.p90 if f.best and f.best.latency else None,
            ]
            for f in figures
        ],
        said,
        [
            "The first cost is the study's formula. The second is of the load with the most "
            f"pictures a second whose p90 stays within {latency_bound_s:g} s."
        ],
    )


def _matrices(figures: Sequence[VariantFigures], said: str) -> list[Table]:
    latencies = {f.served.name: f.base.latency.mean for f in figures if f.base.latency}
    costs = {f.served.name: cost for f in figures if (cost := f.cost_per_million) is not None}
    return [
        matrix_table("latency-matrix", "Mean latency, pairwise, %", latencies, said),
        matrix_table("cost-matrix", "Cost per million, pairwise, %", costs, said),
    ]


def load_table(figures: Sequence[VariantFigures], said: str) -> Table:
    def row(summary: PhaseSummary) -> list[Cell]:
        latency = summary.latency
        return [
            summary.model,
            summary.load,
            summary.sent,
            summary.ok,
            summary.failed,
            summary.timeouts,
            summary.offered,
            summary.throughput,
            *([latency.mean, latency.p50, latency.p90, latency.p99] if latency else [None] * 4),
            "yes" if summary.saturated else None,
        ]

    return Table(
        "load",
        "Latency under load",
        [
            Column("variant"),
            Column("load"),
            Column("sent"),
            Column("ok"),
            Column("failed"),
            Column("timed out"),
            Column("arriving/s", ".3f"),
            Column("answered/s", ".3f"),
            Column("mean s", ".3f"),
            Column("p50 s", ".3f"),
            Column("p90 s", ".3f"),
            Column("p99 s", ".3f"),
            Column("saturated"),
        ],
        [row(summary) for f in figures for summary in f.phases],
        said,
        [
            "Under an arrival rate, latency counts from when a request was due. Saturated: less "
            "than 90 % of the arriving rate answered, or over 10 % failed."
        ],
    )
