"""A variant's figures over its phases, from the recorded requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from benchmark.figures.stats import cost_per_million, cost_per_million_at
from benchmark.run.cloudwatch import METRICS, weighted_mean
from benchmark.run.phase_summary import PhaseSummary, summarise_phase
from benchmark.run.records import RequestRecord, Results, by_phase
from sd_contract.invocation import STAGES
from sd_contract.registration import Registration


@dataclass(frozen=True)
class Scores:
    """A variant's mean scores by name, over `pictures` pictures."""

    pictures: int
    means: dict[str, float]


@dataclass(frozen=True)
class VariantFigures:
    """`base` is the variant's first closed-loop phase: the one the study's tables are about.

    `best` is the phase with the most throughput whose p90 stays within the latency bound.
    `stages_ms` are means over `base`'s ok requests that add up to the client's latency.
    """

    served: Registration
    quality: str
    base: PhaseSummary
    phases: list[PhaseSummary]
    best: PhaseSummary | None
    latencies: list[float]
    stages_ms: dict[str, float]
    sagemaker_ms: dict[str, float | None]
    sagemaker_reason: str | None
    scores: Scores

    @property
    def name(self) -> str:
        """The variant's, with its mode's where that isn't the standard one."""
        return self.base.model

    @property
    def usd_per_hour(self) -> float | None:
        """Of all its instances."""
        price = self.served.price_usd_per_hour
        return None if price is None else price * self.served.instance_count

    @property
    def cost_per_million(self) -> float | None:
        if self.usd_per_hour is None or self.base.latency is None:
            return None
        return cost_per_million(self.base.latency.mean, self.usd_per_hour)

    @property
    def best_cost_per_million(self) -> float | None:
        if self.usd_per_hour is None or self.best is None:
            return None
        return cost_per_million_at(self.best.throughput, self.usd_per_hour)


def analyse(
    results: Results,
    latency_bound_s: float = float("inf"),
    scores: Mapping[str, Scores] = MappingProxyType({}),
) -> list[VariantFigures]:
    """One entry a variant that has a closed-loop phase, in the order of the file."""
    sent = by_phase(results.measured)
    summaries = [summarise_phase(records) for records in sent.values()]
    figures = []
    for model in dict.fromkeys(summary.model for summary in summaries):
        phases = [summary for summary in summaries if summary.model == model]
        base = next((p for p in phases if p.concurrency is not None), None)
        if base is None:
            continue
        records = sent[model, base.phase]
        seen = results.cloudwatch.get((model, base.phase))
        quick = [p for p in phases if p.latency and p.latency.p90 <= latency_bound_s]
        figures.append(
            VariantFigures(
                served=records[-1].variant,
                quality=records[-1].quality,
                base=base,
                phases=phases,
                best=max(quick, key=lambda p: p.throughput, default=None),
                latencies=[r.latency_s for r in records if r.outcome == "ok"],
                stages_ms=_mean_stages(records),
                sagemaker_ms={metric: weighted_mean(seen, metric) for metric in METRICS},
                sagemaker_reason=seen.reason if seen else "not asked for",
                scores=scores.get(model, Scores(0, {})),
            )
        )
    return figures


def _mean_stages(records: Sequence[RequestRecord]) -> dict[str, float]:
    """Means in ms that add up to the client's latency, of ok requests that report stages.

    What the API reports is nested: `total` holds `endpoint` and `storage`, `endpoint` the
    container's stages. Here each is what it adds to the ones inside it.
    """
    timed = [r for r in records if r.outcome == "ok" and r.stages_ms]
    if not timed:
        return {}
    names = dict.fromkeys(name for r in timed for name in r.stages_ms)
    mean = {name: sum(r.stages_ms.get(name, 0.0) for r in timed) / len(timed) for name in names}
    latency = 1000 * sum(r.latency_s for r in timed) / len(timed)
    parts = {name: mean.pop(name) for name in STAGES if name in mean}
    total, endpoint = mean.pop("total", None), mean.pop("endpoint", None)
    if endpoint is not None:
        parts["endpoint overhead"] = endpoint - sum(parts.values())
    parts |= mean
    if total is not None:
        parts["front door"] = total - sum(parts.values())
    parts["gateway and network"] = latency - sum(parts.values())
    return parts
