"""`python -m benchmark`: run, report, study, limit, cost, bulk, prices, overhead,
similar, quality, project, speed."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from typing import get_type_hints

from benchmark.calculators import bulk, cost, limit, study
from benchmark.errors import BenchmarkError
from benchmark.figures.prices import PricingClient, prices, pricing_client
from benchmark.options import (
    COMMANDS,
    BulkOptions,
    CostOptions,
    LimitOptions,
    Options,
    OverheadOptions,
    PricesOptions,
    ProjectOptions,
    QualityOptions,
    ReportOptions,
    RunOptions,
    SimilarOptions,
    SpeedOptions,
    StudyOptions,
)
from stacks.catalogue.prices import PriceFileError


def main(
    argv: Sequence[str] | None = None,
    make_pricing_client: Callable[[], PricingClient] = pricing_client,
) -> int:
    """Exit status 0; 1 for anything the user can put right, said in one line; 130 if stopped."""
    command, options = parse(argv)
    try:
        match options:
            case RunOptions():
                from benchmark.run.command import run

                return asyncio.run(run(options))
            case ReportOptions():
                from benchmark.report.command import report

                said = report(options)
            case StudyOptions():
                said = study()
            case LimitOptions():
                said = limit(options)
            case CostOptions():
                said = cost(options)
            case BulkOptions():
                said = bulk(options)
            case OverheadOptions():
                from benchmark.overhead.command import overhead

                said = overhead(options)
            case SimilarOptions():
                from benchmark.similar import similar

                said = similar(options)
            case QualityOptions():
                from benchmark.quality.command import quality

                said = quality(options)
            case ProjectOptions():
                from benchmark.quality.projection import project

                said = project(options)
            case SpeedOptions():
                from benchmark.speed.command import speed

                said = speed(options)
            case PricesOptions():
                said = prices(options, make_pricing_client)
    except (BenchmarkError, PriceFileError) as error:
        print(f"benchmark {command}: {error}", file=sys.stderr)
        return 1
    print(said.rstrip())
    return 0


def parse(argv: Sequence[str] | None = None) -> tuple[str, Options]:
    """The command and its options. What isn't given keeps its field's default."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark", description="Measure the served variants, and what they cost."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, kind in COMMANDS.items():
        hints = get_type_hints(kind, include_extras=True)
        command = commands.add_parser(name, help=kind.__doc__, argument_default=argparse.SUPPRESS)
        for field in fields(kind):
            flag = "--" + field.name.replace("_", "-")
            (settings,) = hints[field.name].__metadata__
            command.add_argument(flag, required=field.default is MISSING, **settings)
    given = vars(parser.parse_args(argv))
    name = given.pop("command")
    # An option that may be given more than once comes as a list.
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    return name, COMMANDS[name](**given)
