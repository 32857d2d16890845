"""From recorded requests to figures: by phase, and by variant over its phases."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from benchmark.cloudwatch import METRICS, weighted_mean
from benchmark.records import RequestRecord, Results, ServedVariant
from benchmark.stats import Summary, cost_per_million, cost_per_million_at, summarise

SERVED_SHARE = 0.9
"""An open-loop phase that serves less of its arrival rate than this is saturated."""
FAILED_SHARE = 0.1
"""So is one in which more than this share of requests fails."""


@dataclass(frozen=True)
class PhaseSummary:
    """`latency` is of ok requests only. Rates are a second; `offered` is None in a closed loop."""

    model: str
    phase: str
    concurrency: int | None
    rate: float | None
    sent: int
    ok: int
    failed: int
    timeouts: int
    failures: dict[str, int]
    latency: Summary | None
    throughput: float
    offered: float | None

    @property
    def saturated(self) -> bool:
        if self.offered is None:
            return False
        unserved = self.throughput < SERVED_SHARE * self.offered
        return unserved or (self.failed + self.timeouts) > FAILED_SHARE * self.sent

    @property
    def load(self) -> str:
        if self.rate is not None:
            return f"{self.rate:g}/s arriving"
        return f"{self.concurrency} at a time"

    def line(self) -> str:
        head = f"{self.model} {self.phase}: {self.ok}/{self.sent} ok"
        head += f", {self.failed} failed, {self.timeouts} timed out"
        if self.latency is not None:
            head += f", mean {self.latency.mean:.2f} s, p90 {self.latency.p90:.2f} s"
        return head + (", saturated" if self.saturated else "")


def summarise_phase(records: Sequence[RequestRecord]) -> PhaseSummary | None:
    """All records must be of one variant and phase; None if there are none."""
    if not records:
        return None
    first = records[0]
    ok = [record for record in records if record.outcome == "ok"]
    sessions = [
        list(group)
        for _, group in groupby(sorted(records, key=lambda r: r.session), lambda r: r.session)
    ]
    # A resumed phase is measured while it ran, not over the pause between its sessions.
    busy = sum(max(r.done_s for r in s) - min(r.due_s for r in s) for s in sessions)
    return PhaseSummary(
        model=first.model,
        phase=first.phase,
        concurrency=first.concurrency,
        rate=first.rate,
        sent=len(records),
        ok=len(ok),
        failed=sum(record.outcome == "failed" for record in records),
        timeouts=sum(record.outcome == "timeout" for record in records),
        failures=dict(Counter(r.failure for r in records if r.failure)),
        latency=summarise([record.latency_s for record in ok]),
        throughput=len(ok) / busy if busy > 0 else 0.0,
        offered=None if first.rate is None else _offered(sessions, first.rate),
    )


def _offered(sessions: Sequence[Sequence[RequestRecord]], rate: float) -> float:
    """The arrival rate as drawn: over a hundred arrivals it strays from `rate` by a tenth."""
    gaps = sum(len(session) - 1 for session in sessions)
    span = sum(max(r.due_s for r in s) - min(r.due_s for r in s) for s in sessions)
    return gaps / span if span > 0 else rate


@dataclass(frozen=True)
class VariantFigures:
    """`base` is the variant's first closed-loop phase: the one the study's tables are about.

    `best` is the phase with the most throughput whose p90 stays within the latency bound.
    `stages_ms` are means over `base`'s ok requests that add up to the client's latency.
    `quality` holds means by name, of `pictures` scored pictures.
    """

    served: ServedVariant
    base: PhaseSummary
    phases: list[PhaseSummary]
    best: PhaseSummary | None
    latencies: list[float]
    stages_ms: dict[str, float]
    sagemaker_ms: dict[str, float | None]
    sagemaker_reason: str | None
    quality: dict[str, float]
    pictures: int

    @property
    def cost_per_million(self) -> float | None:
        price = self.served.usd_per_hour_total
        if price is None or self.base.latency is None:
            return None
        return cost_per_million(self.base.latency.mean, price)

    @property
    def best_cost_per_million(self) -> float | None:
        price = self.served.usd_per_hour_total
        if price is None or self.best is None:
            return None
        return cost_per_million_at(self.best.throughput, price)


@dataclass(frozen=True)
class Scores:
    """A variant's mean scores by name, over `pictures` pictures."""

    pictures: int
    means: dict[str, float]


def analyse(
    results: Results, latency_bound_s: float, scores: Mapping[str, Scores]
) -> list[VariantFigures]:
    """One entry a variant that has a closed-loop phase, in the order of the file."""
    by_phase: dict[tuple[str, str], list[RequestRecord]] = {}
    for record in results.measured:
        by_phase.setdefault((record.model, record.phase), []).append(record)
    figures = []
    for model in dict.fromkeys(model for model, _ in by_phase):
        phases = [
            summary
            for (of, _), records in by_phase.items()
            if of == model and (summary := summarise_phase(records))
        ]
        base = next((p for p in phases if p.concurrency is not None), None)
        if base is None:
            continue
        records = by_phase[model, base.phase]
        seen = results.cloudwatch.get((model, base.phase))
        score = scores.get(model, Scores(0, {}))
        figures.append(
            VariantFigures(
                served=records[-1].variant,
                base=base,
                phases=phases,
                best=_best(phases, latency_bound_s),
                latencies=[r.latency_s for r in records if r.outcome == "ok"],
                stages_ms=_mean_stages(records),
                sagemaker_ms={metric: weighted_mean(seen, metric) for metric in METRICS},
                sagemaker_reason=seen.reason if seen else "not asked for",
                quality=score.means,
                pictures=score.pictures,
            )
        )
    return figures


def _best(phases: Sequence[PhaseSummary], latency_bound_s: float) -> PhaseSummary | None:
    within = [p for p in phases if p.latency is not None and p.latency.p90 <= latency_bound_s]
    return max(within, key=lambda p: p.throughput, default=None)


CONTAINER_STAGES = ("text_encoder", "denoise", "vae_decode", "png")


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
    parts = {name: mean.pop(name) for name in CONTAINER_STAGES if name in mean}
    total, endpoint = mean.pop("total", None), mean.pop("endpoint", None)
    if endpoint is not None:
        parts["endpoint overhead"] = endpoint - sum(parts.values())
    parts |= mean
    if total is not None:
        parts["front door"] = total - sum(parts.values())
    parts["gateway and network"] = latency - sum(parts.values())
    return parts
