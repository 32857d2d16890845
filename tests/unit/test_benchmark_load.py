"""Load generation in jumping time: queues that textbooks know the answers to."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from benchmark.figures.stats import summarise
from benchmark.run import load
from benchmark.run.phase_summary import PhaseSummary, summarise_phase
from tests.fakes.benchmark import FakeApi, Ran, prompts, run_jumping, run_session

OPEN: dict[str, Any] = {"concurrency": (), "timeout": 1000.0}


def test_arrivals_are_poisson_and_repeat() -> None:
    times = load.arrival_times(20_000, rate=4.0, seed=1)
    assert times[:5] == load.arrival_times(5, 4.0, seed=1) != load.arrival_times(5, 4.0, seed=2)
    gaps = [b - a for a, b in zip([0.0, *times], times, strict=False)]
    summary = summarise(gaps)
    assert summary is not None
    assert min(gaps) > 0
    assert summary.mean == pytest.approx(0.25, rel=0.03)
    assert summary.p50 == pytest.approx(0.25 * 0.6931, rel=0.03)
    assert summary.p99 == pytest.approx(0.25 * 4.6052, rel=0.06)


def phase_of(ran: Ran, name: str) -> PhaseSummary:
    return summarise_phase([r for r in ran.results.requests if r.phase == name])


def test_closed_loop_latency_and_throughput(tmp_path: Path) -> None:
    api = FakeApi(seconds=2.0)
    ran = run_session(tmp_path, api, prompts(20), concurrency=(1, 4))
    alone, four = phase_of(ran, "closed-1"), phase_of(ran, "closed-4")
    assert alone.latency is not None
    assert four.latency is not None
    assert alone.latency.mean == pytest.approx(2.0, abs=1e-3)
    # The endpoint makes one picture at a time: four callers wait four times as long for as many.
    assert four.latency.p50 == pytest.approx(8.0, abs=1e-3)
    assert alone.throughput == pytest.approx(0.5, rel=1e-3)
    assert four.throughput == pytest.approx(0.5, rel=1e-3)
    assert api.most_at_once == 4


def test_open_loop_latency_is_that_of_an_m_d_1_queue() -> None:
    """Pollaczek and Khinchine: mean wait = ρ / (2 (1 − ρ)) service times; 0.5 at ρ = 0.5."""
    latencies: list[float] = []

    async def go() -> None:
        clock = asyncio.get_running_loop().time
        server = asyncio.Lock()

        async def send(_: int, due: float) -> None:
            async with server:
                await asyncio.sleep(1.0)
            latencies.append(clock() - due)

        arrivals = load.arrival_times(5000, rate=0.5, seed=20_260)
        await load.open_loop(range(5000), arrivals, send, asyncio.Event())

    run_jumping(go())
    summary = summarise(latencies)
    assert summary is not None
    assert summary.mean == pytest.approx(1.5, rel=0.05)
    assert min(latencies) == pytest.approx(1.0, abs=1e-3)


def test_open_loop_does_not_wait_for_a_slow_server(tmp_path: Path) -> None:
    api = FakeApi(seconds=10.0)
    ran = run_session(tmp_path, api, prompts(40), rates=(2.0,), **OPEN)
    due = [record.due_s for record in ran.results.requests]
    assert max(due) < 40  # all were due, and sent, long before the 400 s of work were done
    assert api.most_at_once > 30


def test_a_variant_that_saturates_is_not_loaded_further(tmp_path: Path) -> None:
    ran = run_session(tmp_path, FakeApi(), rates=(4.0, 0.5, 2.0), **OPEN)
    assert {record.phase for record in ran.results.requests} == {"open-0.5", "open-2"}
    assert not phase_of(ran, "open-0.5").saturated
    assert phase_of(ran, "open-2").saturated
    assert ran.said[-1] == "g5 open-4: skipped, saturated at a lower rate"


@pytest.mark.parametrize(
    ("phases", "stop_after", "most"),
    [({"concurrency": (4,)}, 10, 13), ({"concurrency": (), "rates": (0.1,)}, 5, 5)],
)
def test_stopping_sends_no_more_and_lets_answers_in_flight_come_in(
    phases: dict[str, Any], stop_after: int, most: int, tmp_path: Path
) -> None:
    api = FakeApi()
    ran = run_session(tmp_path, api, prompts(50), stop_after=stop_after, **phases)
    assert stop_after <= len(ran.results.requests) == len(api.asked) <= most
