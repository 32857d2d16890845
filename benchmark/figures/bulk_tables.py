"""The tables of `bulk`: engines, interruptions, what others publish, and what was assumed."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.figures.bulk import (
    DATA,
    NEURON,
    REQUESTS,
    WORKER_GB,
    Estimate,
    Job,
    estimates,
    spot_usd_per_million,
)
from benchmark.figures.cost_tables import or_no_price, text_columns
from benchmark.figures.spot import Course, simulate
from benchmark.figures.stats import Summary, summarise
from benchmark.figures.study import Study
from benchmark.table import NO_PRICE, Cell, Column, Table

Texts = tuple[str, str, str]


def bulk_tables(job: Job, study: Study, conditions: str) -> list[Table[Any]]:
    options = job.options
    said = f"{options.pictures:,} pictures, {options.instances} instances; {conditions}"
    return [
        engines_table(estimates(job), said),
        spot_table(courses(job), f"{said}; {options.seeds:,} seeds a row"),
        published_table(job, study, said),
        Table[Texts](
            "bulk-assumptions",
            "Assumptions",
            text_columns("what", "value", "from, or to change it"),
            _assumptions(job),
            said,
        ),
    ]


def engines_table(rows: Sequence[Estimate], said: str) -> Table[Estimate]:
    return Table(
        "bulk",
        "By engine",
        [
            Column("engine", "", lambda e: e.engine),
            Column("instance", "", lambda e: e.instance_type),
            Column("USD/h", "$.4f", lambda e: or_no_price(e.usd_per_hour)),
            Column("hours", ",.1f", lambda e: e.hours),
            Column("instance hours", ",.1f", lambda e: e.instance_hours),
            Column("requests", "$,.2f", lambda e: e.requests_usd),
            Column("USD", "$,.2f", lambda e: or_no_price(e.usd)),
            Column("USD per million", "$,.2f", lambda e: or_no_price(e.usd_per_million)),
        ],
        rows,
        said,
        [
            "A share of a real-time endpoint pays for the time its pictures take; the endpoint is "
            "taken to run anyway. All else starts from nothing and leaves nothing running.",
            "On spot: the mean over interruptions, as the next table's first row has it.",
        ],
    )


@dataclass(frozen=True)
class Interrupted:
    """The courses that a fleet took, a seed each. `usd_per_million` is None without a price."""

    rate: str
    interruptions_per_hour: float
    courses: Sequence[Course]
    hours: Summary
    longest_hours: Summary
    usd_per_million: Summary | None


def courses(job: Job) -> list[Interrupted]:
    """As assumed, and, where that isn't given, as often and as long as the traces have it."""
    spot, traces = job.spot, DATA["traces"]
    rates = {"as assumed": (spot.interruptions_per_hour, spot.wait_s)}
    harsh = (traces["fleet_interruptions_per_hour"], traces["wait_minutes"] * 60)
    if job.options.interruptions_per_hour is None and harsh not in rates.values():
        rates["as in the traces"] = harsh
    rows = []
    for name, (per_hour, wait_s) in rates.items():
        fleet = job.fleet(per_hour, wait_s)
        seeds = range(job.options.seeds)
        ran = [simulate(fleet, job.batches, random.Random(seed)) for seed in seeds]
        hours = summarise([course.hours for course in ran])
        longest = summarise([course.longest_hours for course in ran])
        assert hours is not None
        assert longest is not None
        pictures = job.options.pictures
        costs = [
            spot_usd_per_million(job, course.instance_hours * 3600 / pictures) for course in ran
        ]
        usd = summarise([cost for cost in costs if cost is not None])
        rows.append(Interrupted(name, per_hour, ran, hours, longest, usd))
    return rows


def spot_table(rows: Sequence[Interrupted], said: str) -> Table[Interrupted]:
    def usd(of: Callable[[Summary], float]) -> Callable[[Interrupted], Cell]:
        return lambda row: of(row.usd_per_million) if row.usd_per_million else NO_PRICE

    def mean(row: Interrupted) -> float:
        return sum(course.interruptions for course in row.courses) / len(row.courses)

    return Table(
        "bulk-spot",
        "Bulk on spot, interrupted at random",
        [
            Column("interruptions", "", lambda row: row.rate),
            Column("an hour", ".4f", lambda row: row.interruptions_per_hour),
            Column("in all, mean", ",.2f", mean),
            Column("hours p50", ",.1f", lambda row: row.hours.p50),
            Column("p90", ",.1f", lambda row: row.hours.p90),
            Column("p99", ",.1f", lambda row: row.hours.p99),
            Column("longest batch p99", ",.1f", lambda row: row.longest_hours.p99),
            Column("USD per million, mean", "$,.2f", usd(lambda s: s.mean)),
            Column("p50", "$,.2f", usd(lambda s: s.p50)),
            Column("p90", "$,.2f", usd(lambda s: s.p90)),
            Column("p99", "$,.2f", usd(lambda s: s.p99)),
            Column("drawn again, most", ",", lambda row: max(c.drawn_again for c in row.courses)),
            Column("lost", ",", lambda row: sum(c.lost for c in row.courses)),
            Column("doubled", ",", lambda row: sum(c.doubled for c in row.courses)),
        ],
        rows,
        said,
        [
            "Counted picture by picture, over all seeds: lost were never finished, doubled were "
            "finished twice. Drawn again: at hand in an instance when the fleet was interrupted.",
            "A batch ends at its completion_window, done or not: 24h unless it asks for another.",
        ],
    )


@dataclass(frozen=True)
class Compared:
    """What somebody publishes, and a spot job of ours with their seconds, if it can be compared."""

    label: str
    seconds: float | None
    steps: int | None
    usd_per_million: float | None
    usd_per_month: float | None
    ours: float | None
    source: str


def published_table(job: Job, study: Study, said: str) -> Table[Compared]:
    def ours(instance_type: str, seconds: float) -> float | None:
        """Of the drawing alone, and its requests."""
        return spot_usd_per_million(job, seconds) if instance_type == job.serving_type else None

    rows = [
        Compared(
            label=f"the study: {p.label}" if p.name else p.label,
            seconds=p.latency_s,
            steps=p.steps,
            usd_per_million=p.cost_per_million,
            usd_per_month=None,
            ours=ours(p.instance_type, p.latency_s),
            source=study.source if p.name else "",
        )
        for p in (*study.variants, *study.others)
    ]
    for peer in DATA["peers"]:
        given = {"seconds": None, "steps": None, "usd_per_month": None} | peer
        rows.append(Compared(**given, ours=None))
    return Table(
        "bulk-published",
        "What others publish",
        [
            Column("published", "", lambda row: row.label),
            Column("s a picture", ".2f", lambda row: row.seconds),
            Column("steps", "", lambda row: row.steps or "not stated"),
            Column("USD per million", "$,.2f", lambda row: row.usd_per_million),
            Column("and a month", "$,.2f", lambda row: row.usd_per_month),
            Column("a spot job by these seconds", "$,.2f", lambda row: row.ours),
        ],
        rows,
        said,
        [
            "The last column is ours, without starts: it adds nothing a month. Seconds of other "
            "instances, models and step counts can't be compared, so it is empty there.",
            *(
                f"{row.label}: {row.source}."
                for row in rows
                if row.ours is None and row.source and not row.label.startswith("the study")
            ),
        ],
    )


def _assumptions(job: Job) -> list[Texts]:
    options, spot = job.options, job.spot
    prices = DATA["requests"]

    def price(usd: float | None) -> str:
        return NO_PRICE if usd is None else f"${usd:.4g}/h"

    serving, bulk = job.serving_price, job.bulk_price
    other = "the same instance"
    if job.bulk_type != job.serving_type:
        other = f"{job.bulk_type} taken to be as fast as {job.serving_type}"
        if NEURON.get(job.serving_type) == job.bulk_type:
            other += " (one chip each, the same NeuronCores and graphs)"
    return [
        ("seconds a picture", f"{job.seconds_per_image:.3f}", f"{job.seconds_source}; --seconds"),
        ("seconds in bulk", other, "not measured; a job has no HTTP, but stores its pictures"),
        (f"price, {job.serving_type}", price(serving.usd_per_hour), serving.source),
        (f"price of the bulk job, {job.bulk_type}", price(bulk.usd_per_hour), bulk.source),
        ("spot's discount", f"{spot.discount:.0%}", spot.discount_source),
        (
            "interruptions of the fleet",
            f"{spot.interruptions_per_hour:.4g} an hour of running, at random",
            spot.interruptions_source,
        ),
        (
            "an interruption",
            "stops all instances, without a notice",
            "the job's status is Interrupted, then Starting (developer guide, Managed Spot "
            "Training Lifecycle); a notice would save the pictures at hand",
        ),
        ("wait for capacity", f"{spot.wait_s / 60:.4g} min, on average", spot.wait_source),
        (
            "start-up",
            f"{options.start_up_minutes:g} min",
            "AWS publishes none: logs of training jobs in public notebooks have 2.6 to 4.5 min, "
            "with smaller images and models; --start-up-minutes",
        ),
        (
            "billed in a job",
            "all instances, from a start to the end",
            "an upper bound: AWS bills from the download on (TrainingStartTime)",
        ),
        (
            "batches",
            f"{len(job.batches)}, one after another",
            f"of at most {max(job.batches):,} pictures here; each starts a job of its own, and "
            "ends with its completion_window",
        ),
        ("real-time", f"{options.real_time_share:.0%} of the endpoint's time", "--real-time-share"),
        (
            "asynchronous",
            f"one instance first, then all; let go after {options.idle_minutes:g} min",
            "--idle-minutes",
        ),
        (
            "requests a picture",
            "; ".join(
                f"{engine}: " + ", ".join(f"{n:g} {name}" for name, n in each.items())
                for engine, each in REQUESTS.items()
            ),
            "; ".join(
                f"{name} ${entry['usd_per_million']:g} a million ({entry['source']})"
                for name, entry in prices.items()
            )
            + f"; a function of {WORKER_GB:g} GB waits for each picture of a real-time endpoint",
        ),
        ("left out", "checking, storage, logs, data transfer", "small beside these"),
    ]
