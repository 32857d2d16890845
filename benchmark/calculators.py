"""`benchmark study`, `limit` and `cost`: published figures, or a run's own, into `figures`."""

from collections.abc import Iterable
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.figures.cost import Assumptions, Candidate
from benchmark.figures.cost_tables import cost_tables
from benchmark.figures.flops import count_work
from benchmark.figures.limit import limit_tables, read_accelerators
from benchmark.figures.study import read_study, study_tables
from benchmark.options import CostOptions, LimitOptions
from benchmark.report.analysis import analyse
from benchmark.report.statement import LAPTOP, is_laptop
from benchmark.report.tables import measured_limit_table
from benchmark.run.records import Results, read_results
from benchmark.table import Table
from stacks.prices import Prices, read_prices


def _markdown(tables: Iterable[Table[Any]]) -> str:
    return "\n".join(table.markdown() for table in tables)


def study() -> str:
    return _markdown(study_tables(read_study()))


def limit(options: LimitOptions) -> str:
    width, height = options.size
    size = f"{width}x{height}"
    results = read_results(options.results) if options.results else None
    if results and results.info.size != size:
        raise BenchmarkError(f"the results are of {results.info.size}: give --size")
    try:
        work = count_work(width, height)
    except ValueError as error:
        raise BenchmarkError(f"--size: {error}") from error
    accelerators = read_accelerators()
    said = _markdown(
        limit_tables(
            work, size, options.steps, options.guidance, accelerators, read_study().published
        )
    )
    if results is None:
        return said
    figures = analyse(results, float("inf"), {})
    measured = measured_limit_table(results, figures, work, accelerators)
    return f"{said}\n{measured.markdown() if measured else f'{options.results}: {LAPTOP}'}"


def cost(options: CostOptions) -> str:
    assume = Assumptions(
        utilisation=options.utilisation,
        hours_per_day=options.hours_per_day,
        days_per_week=options.days_per_week,
        start_up_minutes=options.start_up_minutes,
        idle_minutes=options.idle_minutes,
    )
    prices = read_prices()
    if options.results:
        results = read_results(options.results)
        candidates = _measured(results, prices, options.region)
        info = results.info
        of = f"measured latencies at {info.size}, {info.steps} steps, {info.started[:10]}"
        caveat = f". {LAPTOP}" if is_laptop(results) else ""
    else:
        candidates = _published(prices, options.region)
        of, caveat = "published latencies at 512x512, one caller, steps not stated", ""
    return _markdown(
        cost_tables(
            candidates,
            assume.demand(options.images_per_day, options.peak_per_hour),
            assume,
            options.peak_per_hour is not None,
            f"{of}; prices {options.region} of {prices.date}{caveat}",
        )
    )


def _published(prices: Prices, region: str) -> list[Candidate]:
    basis = "the study's mean latency; --results takes your own"
    return [
        _candidate(prices, region, each.name, each.instance_type, each.latency_s, basis)
        for each in read_study().variants
    ]


def _measured(results: Results, prices: Prices, region: str) -> list[Candidate]:
    return [
        _candidate(
            prices,
            region,
            f.served.name,
            f.served.instance_type,
            f.base.latency.mean,
            f"measured mean of {f.base.ok} requests, {f.base.load}",
        )
        for f in analyse(results, float("inf"), {})
        if f.base.latency
    ]


def _candidate(
    prices: Prices, region: str, name: str, instance_type: str, seconds: float, basis: str
) -> Candidate:
    price = prices.find(region, instance_type)
    usd_per_hour, source = (
        (price.usd_per_hour, f"{price.source} ({region}, {price.date})")
        if price
        else (None, f"python -m benchmark prices --refresh --region {region}")
    )
    return Candidate(name, instance_type, seconds, usd_per_hour, source, basis)
