"""`benchmark study`, `limit`, `cost`, `bulk`: published figures, or a run's own, into `figures`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.figures.bulk import NEURON, Job, Price, bulk_price, spot_of
from benchmark.figures.bulk_tables import bulk_tables
from benchmark.figures.cost import Candidate
from benchmark.figures.cost_tables import cost_tables
from benchmark.figures.limit import limit_tables
from benchmark.figures.study import read_study, study_tables
from benchmark.options import BulkOptions, CostOptions, LimitOptions
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
    candidates, said = _candidates(options.results, options.region)
    return _markdown(cost_tables(candidates, options, said))


def bulk(options: BulkOptions) -> str:
    candidates, said = _candidates(options.results, options.region)
    named = {candidate.name: candidate for candidate in candidates}
    known = named.get(options.variant)
    seconds, source, serving_type = options.seconds, "--seconds", options.instance_type
    if known:
        serving_type = serving_type or known.instance_type
    if seconds is None and known:
        seconds, source = known.seconds_per_image, known.basis
    if seconds is None or serving_type is None:
        raise BenchmarkError(
            f"no figures of {options.variant}, only of {', '.join(named)}: "
            "give --seconds and --instance-type"
        )
    if options.seconds is not None:
        said = _conditions("seconds as given", options.region)

    bulk_type = options.bulk_instance_type or NEURON.get(serving_type, serving_type)
    job = Job(
        seconds_per_image=seconds,
        seconds_source=source,
        serving_type=serving_type,
        serving_price=_price(serving_type, options.region),
        bulk_type=bulk_type,
        bulk_price=bulk_price(bulk_type, _price(bulk_type, options.region), options),
        spot=spot_of(bulk_type, options),
        options=options,
    )
    return _markdown(bulk_tables(job, read_study(), f"{options.variant}; {said}"))


def _conditions(of: str, region: str, caveat: str = "") -> str:
    return f"{of}; prices {region} of {read_prices().date}{caveat}"


def _price(instance_type: str, region: str) -> Price:
    price = read_prices().find(region, instance_type)
    if price is None:
        return Price(None, f"python -m benchmark prices --refresh --region {region}")
    return Price(price.usd_per_hour, f"{price.source} ({region}, {price.date})")


def _candidates(path: Path | None, region: str) -> tuple[list[Candidate], str]:
    """A run's variants, or the study's, and the conditions of their figures."""

    def candidate(name: str, instance_type: str, seconds: float, basis: str) -> Candidate:
        price = _price(instance_type, region)
        return Candidate(name, instance_type, seconds, price.usd_per_hour, price.source, basis)

    if path is None:
        basis = "the study's mean latency; --results takes your own"
        study = [
            candidate(v.name, v.instance_type, v.latency_s, basis) for v in read_study().variants
        ]
        of = "published latencies at 512x512, one caller, steps not stated"
        return study, _conditions(of, region)
    results = read_results(path)
    info, caveat = results.info, f". {LAPTOP}" if is_laptop(results) else ""
    measured = [
        candidate(
            f.name,
            f.served.instance_type,
            f.base.latency.mean,
            f"measured mean of {f.base.ok} requests, {f.base.load}",
        )
        for f in analyse(results)
        if f.base.latency
    ]
    of = f"measured latencies at {info.size}, {info.steps_said}, {info.started[:10]}"
    return measured, _conditions(of, region, caveat)
