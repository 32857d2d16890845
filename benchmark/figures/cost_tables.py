"""The tables of `cost`: months, break-evens, and what was assumed."""

from collections.abc import Callable, Sequence
from itertools import combinations
from operator import itemgetter
from typing import Any

from benchmark.figures.cost import (
    MOST_PER_DAY,
    PEAK_SHARE,
    Candidate,
    Demand,
    Mode,
    Monthly,
    Range,
    compare,
    demand_of,
    monthly,
)
from benchmark.options import CostOptions
from benchmark.table import NO_PRICE, Column, Table

Texts = tuple[str, str, str]


def cost_tables(
    candidates: Sequence[Candidate], assume: CostOptions, conditions: str
) -> list[Table[Any]]:
    demand = demand_of(assume)
    said = (
        f"{demand.images_per_day:,.0f} pictures a day, busiest hour {demand.peak_per_hour:,.0f}; "
        f"{conditions}"
    )
    peak_share = demand.peak_per_hour / demand.images_per_day
    return [
        Table[Monthly](
            "monthly",
            "What a month costs",
            [
                Column("variant", "", lambda month: month.candidate.name),
                Column("instance", "", lambda month: month.candidate.instance_type),
                Column("mode", "", lambda month: month.mode.value),
                Column("instances at the peak", "", lambda month: month.instances),
                Column("instance hours", ",.0f", lambda month: month.instance_hours),
                Column("USD a month", "$,.2f", lambda month: or_no_price(month.usd)),
                Column("USD per 1000", "$,.3f", lambda month: or_no_price(month.usd_per_thousand)),
            ],
            [monthly(each, mode, demand, assume) for each in candidates for mode in Mode],
            said,
        ),
        Table[Texts](
            "break-even",
            "Break-even volumes, pictures a day",
            text_columns("of", "choice", "cheaper"),
            _break_evens(candidates, assume, peak_share),
            said,
            ["Alike: within 5 % of each other. The modes differ in service: see the assumptions."],
        ),
        Table[Texts](
            "assumptions",
            "Assumptions",
            text_columns("what", "value", "from, or to change it"),
            _assumptions(candidates, assume),
            said,
        ),
    ]


def text_columns(*headers: str) -> list[Column[Texts]]:
    return [Column(header, "", itemgetter(i)) for i, header in enumerate(headers)]


def or_no_price(usd: float | None) -> float | str:
    return NO_PRICE if usd is None else usd


def _break_evens(
    candidates: Sequence[Candidate], assume: CostOptions, peak_share: float
) -> list[Texts]:
    def cost(candidate: Candidate, mode: Mode, usd_per_hour: float) -> Callable[[float], float]:
        def usd(per_day: float) -> float:
            month = monthly(candidate, mode, Demand(per_day, peak_share * per_day), assume)
            return month.instance_hours * usd_per_hour

        return usd

    rows = []
    for candidate in candidates:
        for a, b in combinations(Mode, 2):
            # One instance type: whatever it costs, fewer hours are cheaper.
            ranges = compare((a.value, cost(candidate, a, 1)), (b.value, cost(candidate, b, 1)))
            rows.append((candidate.name, f"{a.value} or {b.value}", _told(ranges)))
    for mode in Mode:
        for x, y in combinations(candidates, 2):
            told = NO_PRICE
            if x.usd_per_hour is not None and y.usd_per_hour is not None:
                first = (x.name, cost(x, mode, x.usd_per_hour))
                told = _told(compare(first, (y.name, cost(y, mode, y.usd_per_hour))))
            rows.append((mode.value, f"{x.name} or {y.name}", told))
    return rows


def _told(ranges: Sequence[Range], most_parts: int = 4) -> str:
    """Instances come in whole numbers, so costs can cross many times: the first few are told."""
    parts = []
    for r in ranges[:most_parts]:
        name = r.cheaper or "alike"
        if r.end >= MOST_PER_DAY:
            parts.append(f"{name} at any volume" if r.start == 1 else f"{name} from {r.start:,}")
        else:
            parts.append(f"{name} up to {r.end:,}")
    rest = ranges[most_parts:]
    if rest:
        tail = dict.fromkeys(r.cheaper or "alike" for r in rest)
        parts.append("then by turns " + ", ".join(tail))
    return "; ".join(parts)


def _assumptions(candidates: Sequence[Candidate], assume: CostOptions) -> list[Texts]:
    def price(c: Candidate) -> str:
        return NO_PRICE if c.usd_per_hour is None else f"${c.usd_per_hour:g}/h"

    peak = "as given" if assume.peak_per_hour else f"{PEAK_SHARE:.0%} of the day's pictures"
    return [
        *(
            (f"{c.name}: seconds a picture", f"{c.seconds_per_image:.3f}", c.basis)
            for c in candidates
        ),
        *(
            (f"{c.name}: price", f"{price(c)} {c.instance_type}", c.price_source)
            for c in candidates
        ),
        ("month", "730 hours", "a twelfth of a year"),
        ("busiest hour", peak, "--peak-per-hour"),
        ("instances busy at the peak", f"{assume.utilisation:.0%}", "--utilisation"),
        (
            "scheduled",
            f"{assume.hours_per_day:g} h on {assume.days_per_week:g} days a week",
            "--hours-per-day, --days-per-week; off otherwise, all pictures fall into these hours",
        ),
        (
            "scale to zero",
            f"{assume.start_up_minutes:g} min to start, let go after {assume.idle_minutes:g} min",
            "--start-up-minutes, --idle-minutes; whoever wakes it waits out the start",
        ),
        ("arrivals", "at random around the clock", "bursts make scale to zero cheaper than this"),
        ("left out", "API Gateway, Lambda, S3, logs, data transfer", "small beside instances"),
    ]
