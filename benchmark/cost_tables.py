"""The tables of `cost`: months, break-evens, and what was assumed."""

from collections.abc import Callable, Sequence
from itertools import combinations

from benchmark.cost import (
    MOST_PER_DAY,
    Assumptions,
    Candidate,
    Demand,
    Mode,
    Range,
    compare,
    monthly,
)
from benchmark.report_tables import NO_PRICE, Cell, Column, Table


def cost_tables(
    candidates: Sequence[Candidate],
    demand: Demand,
    assume: Assumptions,
    peak_given: bool,
    conditions: str,
) -> list[Table]:
    said = (
        f"{demand.images_per_day:,.0f} pictures a day, busiest hour {demand.peak_per_hour:,.0f}; "
        f"{conditions}"
    )
    scale = demand.peak_per_hour / demand.images_per_day if peak_given else None
    return [
        _monthly_table(candidates, demand, assume, said),
        _break_even_table(candidates, assume, scale, said),
        _assumptions_table(candidates, assume, peak_given, said),
    ]


def _monthly_table(
    candidates: Sequence[Candidate], demand: Demand, assume: Assumptions, said: str
) -> Table:
    rows: list[list[Cell]] = []
    for candidate in candidates:
        for mode in Mode:
            month = monthly(candidate, mode, demand, assume)
            rows.append(
                [
                    candidate.name,
                    candidate.instance_type,
                    mode.value,
                    month.instances,
                    month.instance_hours,
                    NO_PRICE if month.usd is None else month.usd,
                    NO_PRICE if month.usd_per_thousand is None else month.usd_per_thousand,
                ]
            )
    return Table(
        "monthly",
        "What a month costs",
        [
            Column("variant"),
            Column("instance"),
            Column("mode"),
            Column("instances at the peak"),
            Column("instance hours", ",.0f"),
            Column("USD a month", "$,.2f"),
            Column("USD per 1000", "$,.3f"),
        ],
        rows,
        said,
    )


def _break_even_table(
    candidates: Sequence[Candidate], assume: Assumptions, peak_scale: float | None, said: str
) -> Table:
    def cost(candidate: Candidate, mode: Mode, usd_per_hour: float) -> Callable[[float], float]:
        def usd(per_day: float) -> float:
            peak = (assume.peak_share if peak_scale is None else peak_scale) * per_day
            month = monthly(candidate, mode, Demand(per_day, peak), assume)
            return month.instance_hours * usd_per_hour

        return usd

    rows: list[list[Cell]] = []
    for candidate in candidates:
        for a, b in combinations(Mode, 2):
            # One instance type: whatever it costs, fewer hours are cheaper.
            ranges = compare((a.value, cost(candidate, a, 1)), (b.value, cost(candidate, b, 1)))
            rows.append([candidate.name, f"{a.value} or {b.value}", _told(ranges)])
    for mode in Mode:
        for x, y in combinations(candidates, 2):
            told = NO_PRICE
            if x.usd_per_hour is not None and y.usd_per_hour is not None:
                told = _told(
                    compare(
                        (x.name, cost(x, mode, x.usd_per_hour)),
                        (y.name, cost(y, mode, y.usd_per_hour)),
                    )
                )
            rows.append([mode.value, f"{x.name} or {y.name}", told])
    return Table(
        "break-even",
        "Break-even volumes, pictures a day",
        [Column("of"), Column("choice"), Column("cheaper")],
        rows,
        said,
        ["Alike: within 5 % of each other. The modes differ in service: see the assumptions."],
    )


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


def _assumptions_table(
    candidates: Sequence[Candidate], assume: Assumptions, peak_given: bool, said: str
) -> Table:
    rows: list[list[Cell]] = [
        [f"{c.name}: seconds a picture", f"{c.seconds_per_image:.3f}", c.basis] for c in candidates
    ]
    rows += [
        [
            f"{c.name}: price",
            f"{NO_PRICE if c.usd_per_hour is None else f'${c.usd_per_hour:g}/h'} {c.instance_type}",
            c.price_source,
        ]
        for c in candidates
    ]
    rows += [
        ["month", "730 hours", "a twelfth of a year"],
        [
            "busiest hour",
            "as given" if peak_given else f"{assume.peak_share:.0%} of the day's pictures",
            "--peak-per-hour",
        ],
        ["instances busy at the peak", f"{assume.utilisation:.0%}", "--utilisation"],
        [
            "scheduled",
            f"{assume.hours_per_day:g} h on {assume.days_per_week:g} days a week",
            "--hours-per-day, --days-per-week; off otherwise, all pictures fall into these hours",
        ],
        [
            "scale to zero",
            f"{assume.start_up_minutes:g} min to start, let go after {assume.idle_minutes:g} min",
            "--start-up-minutes, --idle-minutes; whoever wakes it waits out the start",
        ],
        ["arrivals", "at random around the clock", "bursts make scale to zero cheaper than this"],
        ["left out", "API Gateway, Lambda, S3, logs, data transfer", "small beside instances"],
    ]
    return Table(
        "assumptions",
        "Assumptions",
        [Column("what"), Column("value"), Column("from, or to change it")],
        rows,
        said,
    )
