"""`python -m benchmark`: run, report, study, limit, cost, prices."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmark import pricing
from benchmark.analysis import analyse
from benchmark.arguments import make_parser
from benchmark.cost import Assumptions, Candidate
from benchmark.cost_tables import cost_tables
from benchmark.errors import BenchmarkError, PriceRefreshFailed
from benchmark.prompts import PromptSet, load_prompts
from benchmark.records import Results, read_results
from benchmark.report_tables import LAPTOP, Table, is_laptop
from benchmark.study import read_study, study_tables

MakePricingClient = Callable[[], pricing.PricingClient]


def main(
    argv: Sequence[str] | None = None,
    make_pricing_client: MakePricingClient | None = None,
) -> int:
    """Exit status 0; 1 for anything the user can put right, said in one line; 130 if stopped."""
    arguments = make_parser().parse_args(argv)
    try:
        match arguments.command:
            case "run":
                from benchmark.run_command import run

                return asyncio.run(run(arguments))
            case "report":
                return _report(arguments)
            case "study":
                _print(study_tables(read_study()))
            case "limit":
                return _limit(arguments)
            case "cost":
                return _cost(arguments)
            case "prices":
                return _prices(arguments, make_pricing_client or _pricing_client)
    except BenchmarkError as error:
        print(f"benchmark {arguments.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _print(tables: Sequence[Table]) -> None:
    print("\n".join(table.markdown() for table in tables), end="")


def _report(arguments: argparse.Namespace) -> int:
    from benchmark.quality import clip_scorer
    from benchmark.report import make_report, put_into, write_report

    results = read_results(arguments.results)
    report = make_report(
        results,
        _prompts_of(results, arguments.prompts),
        arguments.results.parent / "pictures",
        arguments.latency_bound,
        clip_scorer(arguments.clip_weights) if arguments.clip_weights else None,
    )
    written = write_report(report, results, arguments.out)
    if arguments.readme:
        put_into(arguments.readme, report)
    print(report.headline.markdown(), end="")
    print(f"\n{written[1]} and {len(written) - 1} more files in {arguments.out}")
    return 0


def _prompts_of(results: Results, given: str | None) -> PromptSet:
    prompt_set = load_prompts(given or results.info.prompts)
    if prompt_set.digest != results.info.prompts_digest:
        raise BenchmarkError(
            f"the results were made with other prompts than {prompt_set.name} holds now; "
            "give the file of that time with --prompts"
        )
    return prompt_set


def _limit(arguments: argparse.Namespace) -> int:
    from benchmark.detail_tables import measured_limit_table
    from benchmark.flops import count_work
    from benchmark.limit import read_accelerators
    from benchmark.limit_tables import limit_tables

    width, height = arguments.size
    try:
        work = count_work(width, height)
    except ValueError as error:
        raise BenchmarkError(f"--size: {error}") from error
    accelerators = read_accelerators()
    _print(
        limit_tables(
            work,
            f"{width}x{height}",
            arguments.steps,
            arguments.guidance,
            accelerators,
            read_study().published,
        )
    )
    if arguments.results:
        results = read_results(arguments.results)
        measured = measured_limit_table(
            results, analyse(results, float("inf"), {}), work, accelerators
        )
        if results.info.size != f"{width}x{height}":
            raise BenchmarkError(f"the results are of {results.info.size}: give --size")
        print()
        print(measured.markdown() if measured else f"{arguments.results}: {LAPTOP}")
    return 0


def _cost(arguments: argparse.Namespace) -> int:
    assume = Assumptions(
        utilisation=arguments.utilisation,
        hours_per_day=arguments.hours_per_day,
        days_per_week=arguments.days_per_week,
        start_up_minutes=arguments.start_up_minutes,
        idle_minutes=arguments.idle_minutes,
    )
    candidates, conditions = (
        _measured(read_results(arguments.results), arguments.region)
        if arguments.results
        else _published(arguments.region)
    )
    _print(
        cost_tables(
            candidates,
            assume.demand(arguments.images_per_day, arguments.peak_per_hour),
            assume,
            arguments.peak_per_hour is not None,
            conditions,
        )
    )
    return 0


def _published(region: str) -> tuple[list[Candidate], str]:
    prices = pricing.read_prices()
    study = read_study()
    candidates = []
    for variant in study.variants:
        usd_per_hour, source = _price(prices, region, variant.instance_type)
        candidates.append(
            Candidate(
                variant.name,
                variant.instance_type,
                variant.latency_s,
                usd_per_hour,
                source,
                "the study's mean latency; --results takes your own",
            )
        )
    return candidates, (
        "published latencies at 512x512, one caller, steps not stated; "
        f"prices {region} of {prices.date}"
    )


def _measured(results: Results, region: str) -> tuple[list[Candidate], str]:
    prices = pricing.read_prices()
    candidates = []
    for figures in analyse(results, float("inf"), {}):
        if figures.base.latency is None:
            continue
        served = figures.served
        usd_per_hour, source = _price(prices, region, served.instance_type)
        candidates.append(
            Candidate(
                served.name,
                served.instance_type,
                figures.base.latency.mean,
                usd_per_hour,
                source,
                f"measured mean of {figures.base.ok} requests, {figures.base.load}",
            )
        )
    info = results.info
    conditions = (
        f"measured latencies at {info.size}, {info.steps} steps, {info.started[:10]}; "
        f"prices {region} of {prices.date}"
    )
    return candidates, f"{conditions}. {LAPTOP}" if is_laptop(results) else conditions


def _price(prices: pricing.Prices, region: str, instance_type: str) -> tuple[float | None, str]:
    """US dollars an hour, and where they are from or how to get them."""
    price = prices.find(region, instance_type)
    if price is None:
        return None, f"python -m benchmark prices --refresh --region {region}"
    return price.usd_per_hour, f"{price.source} ({region}, {price.date})"


def _prices(arguments: argparse.Namespace, make_client: MakePricingClient) -> int:
    path: Path = arguments.file
    old = pricing.read_prices(path)
    if not arguments.refresh:
        for region, entries in old.regions.items():
            for name, price in entries.items():
                print(f"{region}  {name:<16} {price.usd_per_hour:>8} USD/h  {price.source}")
        print(f"as of {old.date}; --refresh asks the AWS Price List API")
        return 0
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        today = datetime.now(UTC).date().isoformat()
        new = pricing.refreshed(old, make_client(), today, arguments.region)
    except (BotoCoreError, ClientError) as error:
        raise PriceRefreshFailed(
            f"the AWS Price List API gave no prices ({error}); {path} of {old.date} stays as it is"
        ) from error
    except PriceRefreshFailed as error:
        raise PriceRefreshFailed(f"{error}; {path} of {old.date} stays as it is") from error
    pricing.write_prices(new, path)
    for line in pricing.changes(old, new) or ["no price changed"]:
        print(line)
    print(f"{path} is of {new.date} now")
    return 0


def _pricing_client() -> pricing.PricingClient:
    import boto3
    from botocore.config import Config

    # The Price List API answers in few regions only, whichever region the prices are of.
    config = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2})
    client: pricing.PricingClient = boto3.client("pricing", region_name="us-east-1", config=config)
    return client
