"""The tables of a run: latency, price and quality first, then what is behind the figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmark.figures.flops import count_work
from benchmark.figures.limit import Limit, accelerator_of, least_seconds
from benchmark.figures.stats import Summary
from benchmark.figures.study import matrix_table
from benchmark.report.analysis import VariantFigures
from benchmark.report.statement import base_load, is_laptop, statement
from benchmark.run.cloudwatch import METRICS
from benchmark.run.phase_summary import PhaseSummary
from benchmark.run.records import Results
from benchmark.table import NO_PRICE, Cell, Column, Row, Table, columns
from sd_contract.sampling import STANDARD

LATENCIES: Mapping[str, Callable[[Summary], float]] = {
    "mean s": lambda latency: latency.mean,
    "±95 % s": lambda latency: latency.half_width,
    "p50 s": lambda latency: latency.p50,
    "p90 s": lambda latency: latency.p90,
    "p99 s": lambda latency: latency.p99,
}
VARIANT = Column[VariantFigures]("variant", "", lambda f: f.name)
PHASE = (
    Column[PhaseSummary]("variant", "", lambda p: p.model),
    Column[PhaseSummary]("load", "", lambda p: p.load),
    Column[PhaseSummary]("sent", "", lambda p: p.sent),
)


def run_tables(
    results: Results, figures: Sequence[VariantFigures], latency_bound_s: float
) -> list[Table[Any]]:
    base = statement(results, base_load(figures))
    every = statement(results, "load as in the row")
    latencies = {f.name: f.base.latency.mean for f in figures if f.base.latency}
    costs = {f.name: cost for f in figures if (cost := f.cost_per_million) is not None}
    tables: list[Table[Any]] = [
        headline(figures, base),
        cost_table(figures, base, latency_bound_s),
        matrix_table("latency-matrix", "Mean latency, pairwise, %", latencies, base),
        matrix_table("cost-matrix", "Cost per million, pairwise, %", costs, base),
        load_table(figures, every),
        stages_table(figures, base),
        failures_table(figures, every),
        served_table(figures, base),
    ]
    return [table for table in tables if table.rows]


def latency_columns(of: Callable[[Row], Summary | None], *headers: str) -> list[Column[Row]]:
    def cell(header: str, row: Row) -> Cell:
        latency = of(row)
        return LATENCIES[header](latency) if latency else None

    return columns(headers, ".3f", cell)


def money(header: str, spec: str, of: Callable[[VariantFigures], Cell]) -> Column[VariantFigures]:
    return Column(header, spec, lambda f: NO_PRICE if f.usd_per_hour is None else of(f))


def headline(figures: Sequence[VariantFigures], said: str) -> Table[VariantFigures]:
    def instances(f: VariantFigures) -> str:
        count = f.served.instance_count
        return f.served.instance_type + (f" × {count}" if count > 1 else "")

    def score(name: str) -> Column[VariantFigures]:
        spec = ".2f" if name.startswith("CLIP") else ".1%"
        return Column(name, spec, lambda f: f.scores.means.get(name))

    scored = sorted({f.scores.pictures for f in figures if f.scores.means})
    pictures = " to ".join(dict.fromkeys(str(count) for count in (*scored[:1], *scored[-1:])))
    notes = [
        "p99 of a hundred requests rests on the slowest two; latency is the client's, of "
        "answered requests only."
    ]
    if scored:
        notes.append(f"Quality is of {pictures} pictures a variant, same prompts and seeds.")
    if any(f.quality != STANDARD for f in figures):
        notes.append(
            "Modes were measured one after another: where other work shares the machine, their "
            "seconds can't be compared."
        )
    return Table(
        "headline",
        "Latency, price and quality",
        [
            VARIANT,
            Column("engine", "", lambda f: f.served.engine),
            Column("instance", "", instances),
            Column("answered", "", lambda f: f"{f.base.ok}/{f.base.sent}"),
            *latency_columns(lambda f: f.base.latency, *LATENCIES),
            money("USD/h", "$.4f", lambda f: f.served.price_usd_per_hour),
            money("USD per million", "$,.2f", lambda f: f.cost_per_million),
            *(score(name) for name in dict.fromkeys(n for f in figures for n in f.scores.means)),
        ],
        figures,
        said,
        notes,
    )


def cost_table(
    figures: Sequence[VariantFigures], said: str, latency_bound_s: float
) -> Table[VariantFigures]:
    return Table(
        "cost",
        "Cost per million pictures",
        [
            VARIANT,
            money("mean latency × price", "$,.2f", lambda f: f.cost_per_million),
            money("at best throughput", "$,.2f", lambda f: f.best_cost_per_million),
            Column("reached with", "", lambda f: f.best.load if f.best else None),
            Column("images/s", ".3f", lambda f: f.best.throughput if f.best else None),
            *latency_columns(lambda f: f.best.latency if f.best else None, "p90 s"),
        ],
        figures,
        said,
        [
            "The first cost is the study's formula. The second is of the load with the most "
            f"pictures a second whose p90 stays within {latency_bound_s:g} s."
        ],
    )


def load_table(figures: Sequence[VariantFigures], said: str) -> Table[PhaseSummary]:
    return Table(
        "load",
        "Latency under load",
        [
            *PHASE,
            Column("ok", "", lambda p: p.ok),
            Column("failed", "", lambda p: p.failed),
            Column("timed out", "", lambda p: p.timeouts),
            Column("arriving/s", ".3f", lambda p: p.offered),
            Column("answered/s", ".3f", lambda p: p.throughput),
            *latency_columns(lambda p: p.latency, "mean s", "p50 s", "p90 s", "p99 s"),
            Column("saturated", "", lambda p: "yes" if p.saturated else None),
        ],
        [phase for f in figures for phase in f.phases],
        said,
        [
            "Under an arrival rate, latency counts from when a request was due. Saturated: less "
            "than 90 % of the arriving rate answered, or over 10 % failed."
        ],
    )


def stages_table(figures: Sequence[VariantFigures], said: str) -> Table[VariantFigures]:
    stages = dict.fromkeys(name for f in figures for name in f.stages_ms)
    unseen: dict[str, list[str]] = {}
    for f in figures:
        if f.sagemaker_reason:
            unseen.setdefault(f.sagemaker_reason, []).append(f.name)
    return Table(
        "stages",
        "Where the time goes, ms",
        [
            VARIANT,
            *columns(stages, ".1f", lambda name, f: f.stages_ms.get(name)),
            *columns(METRICS, ".1f", lambda metric, f: f.sagemaker_ms[metric]),
        ],
        figures,
        said,
        [
            "Means. The container's own stages first; then what the endpoint, the front door and "
            "the way to it add, each the difference of two reported or measured times. "
            "CloudWatch keeps SageMaker's latencies by the minute: those at a phase's edges hold "
            "its neighbours' requests too.",
            *(
                f"No SageMaker latencies for {', '.join(names)}: {reason}."
                for reason, names in unseen.items()
            ),
        ],
    )


def failures_table(figures: Sequence[VariantFigures], said: str) -> Table[PhaseSummary]:
    def kinds(p: PhaseSummary) -> str:
        return ", ".join(f"{kind}: {n}" for kind, n in sorted(p.failures.items())) or "none"

    return Table(
        "failures",
        "Failures",
        [
            *PHASE,
            Column("failed", "", lambda p: p.failed),
            Column("failed %", ".2f", lambda p: 100 * p.failed / p.sent),
            Column("timed out", "", lambda p: p.timeouts),
            Column("timed out %", ".2f", lambda p: 100 * p.timeouts / p.sent),
            Column("kinds", "", kinds),
        ],
        [phase for f in figures for phase in f.phases],
        said,
        ["No request is retried: every failure is counted here and left out of latencies."],
    )


def served_table(figures: Sequence[VariantFigures], said: str) -> Table[VariantFigures]:
    return Table(
        "served",
        "What was served",
        [
            VARIANT,
            Column("endpoint", "", lambda f: f.served.endpoint_name),
            Column("model", "", lambda f: f.served.model_id),
            Column("revision", "", lambda f: f.served.revision[:12]),
            Column("artifact", "", lambda f: f.served.artifact_key[:12]),
        ],
        figures,
        said,
    )


class MeasuredLimit(NamedTuple):
    variant: str
    latency: Summary
    limit: Limit


def measured_limit_table(
    results: Results, figures: Sequence[VariantFigures]
) -> Table[MeasuredLimit] | None:
    """None for a laptop's figures: no accelerator was there to be measured against its limit."""
    if is_laptop(results):
        return None
    info = results.info
    work = count_work(*info.width_height)
    rows = []
    for f in figures:
        accelerator = accelerator_of(f.served.instance_type)
        if accelerator and f.base.latency:
            steps = info.steps_of(f.quality)
            limit = least_seconds(work, accelerator, steps, info.guidance_scale)
            rows.append(MeasuredLimit(f.name, f.base.latency, limit))
    return Table(
        "limit-measured",
        "Measured latency against the physical limit",
        [
            Column("variant", "", lambda row: row.variant),
            Column("accelerator", "", lambda row: row.limit.accelerator.name),
            *latency_columns(lambda row: row.latency, "mean s"),
            Column("least s", ".3f", lambda row: row.limit.least),
            Column("share of the limit", ".1%", lambda row: row.limit.least / row.latency.mean),
        ],
        rows,
        statement(results, base_load(figures)),
    )
