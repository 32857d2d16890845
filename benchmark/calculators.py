"""`benchmark study`, `limit` and `cost`: published figures, or a run's own, into `figures`."""

from collections.abc import Iterable
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.figures.cost import Candidate
from benchmark.figures.cost_tables import cost_tables
from benchmark.figures.limit import limit_tables
from benchmark.figures.study import read_study, study_tables
from benchmark.options import CostOptions, LimitOptions
from benchmark.report.analysis import analyse
from benchmark.report.statement import LAPTOP, is_laptop
from benchmark.report.tables import measured_limit_table
from benchmark.run.records import read_results
from benchmark.table import Table
from stacks.catalogue.prices import read_prices


def _markdown(tables: Iterable[Table[Any]]) -> str:
    return "\n".join(table.markdown() for table in tables)


def study() -> str:
    return _markdown(study_tables(read_study()))


def limit(options: LimitOptions) -> str:
    results = read_results(options.results) if options.results else None
    if results and results.info.width_height != options.size:
        raise BenchmarkError(f"the results are of {results.info.size}: give --size")
    try:
        said = _markdown(limit_tables(options))
    except ValueError as error:
        raise BenchmarkError(f"--size: {error}") from error
    if results is None:
        return said
    measured = measured_limit_table(results, analyse(results))
    return f"{said}\n{measured.markdown() if measured else f'{options.results}: {LAPTOP}'}"


def cost(options: CostOptions) -> str:
    prices, region = read_prices(), options.region

    def candidate(name: str, instance_type: str, seconds: float, basis: str) -> Candidate:
        price = prices.find(region, instance_type)
        source = f"python -m benchmark prices --refresh --region {region}"
        if price:
            source = f"{price.source} ({region}, {price.date})"
        usd = price.usd_per_hour if price else None
        return Candidate(name, instance_type, seconds, usd, source, basis)

    if options.results:
        results = read_results(options.results)
        info, caveat = results.info, f". {LAPTOP}" if is_laptop(results) else ""
        of = f"measured latencies at {info.size}, {info.steps} steps, {info.started[:10]}"
        candidates = [
            candidate(
                f.served.name,
                f.served.instance_type,
                f.base.latency.mean,
                f"measured mean of {f.base.ok} requests, {f.base.load}",
            )
            for f in analyse(results)
            if f.base.latency
        ]
    else:
        of, caveat = "published latencies at 512x512, one caller, steps not stated", ""
        basis = "the study's mean latency; --results takes your own"
        candidates = [
            candidate(v.name, v.instance_type, v.latency_s, basis) for v in read_study().variants
        ]
    said = f"{of}; prices {region} of {prices.date}{caveat}"
    return _markdown(cost_tables(candidates, options, said))
