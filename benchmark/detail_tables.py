"""The tables behind a run's figures: stages, failures, what was served, share of the limit."""

from collections.abc import Mapping, Sequence

from benchmark.analysis import VariantFigures
from benchmark.cloudwatch import METRICS
from benchmark.flops import Work
from benchmark.limit import Accelerator, accelerator_of, least_seconds
from benchmark.records import Results
from benchmark.report_tables import (
    Cell,
    Column,
    Table,
    base_load,
    failures_shown,
    is_laptop,
    statement,
)


def stages_table(figures: Sequence[VariantFigures], said: str) -> Table:
    stages = list(dict.fromkeys(name for f in figures for name in f.stages_ms))
    reasons = {f.served.name: f.sagemaker_reason for f in figures if f.sagemaker_reason}
    grouped: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        grouped.setdefault(str(reason), []).append(name)
    return Table(
        "stages",
        "Where the time goes, ms",
        [
            Column("variant"),
            *(Column(name, ".1f") for name in stages),
            *(Column(metric, ".1f") for metric in METRICS),
        ],
        [
            [
                f.served.name,
                *(f.stages_ms.get(name) for name in stages),
                *(f.sagemaker_ms[metric] for metric in METRICS),
            ]
            for f in figures
        ],
        said,
        [
            "Means. The container's own stages first; then what the endpoint, the front door and "
            "the way to it add, each the difference of two reported or measured times. "
            "CloudWatch keeps SageMaker's latencies by the minute: those at a phase's edges hold "
            "its neighbours' requests too.",
            *(
                f"No SageMaker latencies for {', '.join(names)}: {reason}."
                for reason, names in grouped.items()
            ),
        ],
    )


def failures_table(figures: Sequence[VariantFigures], said: str) -> Table:
    return Table(
        "failures",
        "Failures",
        [
            Column("variant"),
            Column("load"),
            Column("sent"),
            Column("failed"),
            Column("failed %", ".2f"),
            Column("timed out"),
            Column("timed out %", ".2f"),
            Column("kinds"),
        ],
        [
            [
                p.model,
                p.load,
                p.sent,
                p.failed,
                100 * p.failed / p.sent,
                p.timeouts,
                100 * p.timeouts / p.sent,
                failures_shown(p.failures),
            ]
            for f in figures
            for p in f.phases
        ],
        said,
        ["No request is retried: every failure is counted here and left out of latencies."],
    )


def served_table(figures: Sequence[VariantFigures], said: str) -> Table:
    return Table(
        "served",
        "What was served",
        [
            Column("variant"),
            Column("endpoint"),
            Column("model"),
            Column("revision"),
            Column("artifact"),
        ],
        [
            [
                f.served.name,
                f.served.endpoint_name,
                f.served.model_id,
                f.served.revision[:12],
                f.served.artifact_key[:12],
            ]
            for f in figures
        ],
        said,
    )


def measured_limit_table(
    results: Results,
    figures: Sequence[VariantFigures],
    work: Work,
    accelerators: Mapping[str, Accelerator],
) -> Table | None:
    """None for a laptop's figures: no accelerator was there to be measured against its limit."""
    if is_laptop(results):
        return None
    rows: list[list[Cell]] = []
    for f in figures:
        accelerator = accelerator_of(f.served.instance_type, accelerators)
        if accelerator and f.base.latency:
            least = least_seconds(
                work, accelerator, results.info.steps, results.info.guidance_scale
            ).least
            mean = f.base.latency.mean
            rows.append([f.served.name, accelerator.name, mean, least, least / mean])
    return Table(
        "limit-measured",
        "Measured latency against the physical limit",
        [
            Column("variant"),
            Column("accelerator"),
            Column("mean s", ".3f"),
            Column("least s", ".3f"),
            Column("share of the limit", ".1%"),
        ],
        rows,
        statement(results, base_load(figures)),
    )
