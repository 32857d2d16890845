"""What a phase came to: its counts, latencies and throughput, and whether it saturated."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.figures.stats import Summary, summarise
from benchmark.run.records import RequestRecord

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


def summarise_phase(records: Sequence[RequestRecord]) -> PhaseSummary:
    """All records must be of one variant and phase; there must be one at least."""
    first = records[0]
    outcomes = Counter(record.outcome for record in records)
    sessions: defaultdict[str, list[RequestRecord]] = defaultdict(list)
    for record in records:
        sessions[record.session].append(record)
    # A resumed phase is measured while it ran, not over the pause between its sessions.
    starts = sum(min(r.due_s for r in session) for session in sessions.values())
    busy = sum(max(r.done_s for r in session) for session in sessions.values()) - starts
    arriving = sum(max(r.due_s for r in session) for session in sessions.values()) - starts
    # The arrival rate as drawn: over a hundred arrivals it strays from `rate` by a tenth.
    drawn = (len(records) - len(sessions)) / arriving if arriving > 0 else first.rate
    return PhaseSummary(
        model=first.model,
        phase=first.phase,
        concurrency=first.concurrency,
        rate=first.rate,
        sent=len(records),
        ok=outcomes["ok"],
        failed=outcomes["failed"],
        timeouts=outcomes["timeout"],
        failures=dict(Counter(r.failure for r in records if r.failure)),
        latency=summarise([r.latency_s for r in records if r.outcome == "ok"]),
        throughput=outcomes["ok"] / busy if busy > 0 else 0.0,
        offered=None if first.rate is None else drawn,
    )
