"""The command line of `python -m benchmark`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark import pricing
from benchmark.cost import Assumptions

RESULTS = Path("out/bench/results.jsonl")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT")
    return int(width), int(height)


def _over(least: float, kind: type = float, most: float = float("inf")) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
        if not least < value <= most:
            bounds = f"over {least:g}" + (f" and at most {most:g}" if most < float("inf") else "")
            raise argparse.ArgumentTypeError(f"must be {bounds}, is {text}")
        return value

    return parse


def _list_of(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    return lambda text: [kind(part.strip()) for part in text.split(",") if part.strip()]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark", description="Measure the served variants, and what they cost."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="send the prompts, append what came back")
    run.add_argument("--url", help="the API, ending in /v1")
    run.add_argument("--key", help="its key; or SD_API_KEY in the environment")
    run.add_argument("--local", type=Path, help="out/local.json of the local cloud, for both")
    run.add_argument("--models", type=_list_of(str), help="variants; default: all registered")
    run.add_argument("--prompts", default="real", help="real, tiny, or a file; default real")
    run.add_argument("--prompt-count", type=_over(0, int), help="only the first so many")
    run.add_argument("--steps", type=_over(0, int), help="default: the first variant's")
    run.add_argument("--size", help="default: the first size all of them serve")
    run.add_argument("--guidance", type=_over(0), help="default: the first variant's")
    run.add_argument(
        "--concurrency",
        type=_list_of(_over(0, int)),
        default=[1],
        help="closed loops, by callers; the first gets all prompts. Default 1",
    )
    run.add_argument(
        "--rates", type=_list_of(_over(0)), default=[], help="open loops, by arrivals a second"
    )
    run.add_argument("--load-requests", type=_over(0, int), default=100, help="in the others")
    run.add_argument("--repetitions", type=_over(0, int), default=1, help="of the first")
    run.add_argument("--warm-up", type=int, default=2, help="requests a variant, not measured")
    run.add_argument("--timeout", type=_over(0), default=60.0, help="seconds a request")
    run.add_argument("--response-format", choices=("b64_json", "url"), default="b64_json")
    run.add_argument("--results", type=Path, default=RESULTS)
    run.add_argument("--no-pictures", action="store_true", help="don't keep the pictures")
    run.add_argument(
        "--cloudwatch-wait",
        type=float,
        help="seconds before CloudWatch is asked; default 120 on AWS, 0 locally",
    )

    report = commands.add_parser("report", help="tables, charts and pages of a run")
    report.add_argument("--results", type=Path, default=RESULTS)
    report.add_argument("--out", type=Path, default=Path("out/bench/report"))
    report.add_argument("--prompts", help="the prompts file, if it was one of your own")
    report.add_argument("--latency-bound", type=_over(0), default=10.0, help="p90, seconds")
    report.add_argument("--clip-weights", type=Path, help="folder of CLIP weights: adds its score")
    report.add_argument("--readme", type=Path, help="put the first table between its markers")

    commands.add_parser("study", help="the published figures through this code")

    limit = commands.add_parser("limit", help="the least seconds an accelerator needs")
    limit.add_argument("--size", type=_size, default=(512, 512))
    limit.add_argument("--steps", type=_over(0, int), default=25)
    limit.add_argument("--guidance", type=_over(0), default=7.5)
    limit.add_argument("--results", type=Path, help="adds a run's latencies")

    defaults = Assumptions()
    cost = commands.add_parser("cost", help="what a month costs")
    cost.add_argument("--images-per-day", type=_over(0), required=True)
    cost.add_argument("--peak-per-hour", type=_over(0), help="default: a tenth of the day's")
    cost.add_argument("--region", default="us-east-1")
    cost.add_argument("--results", type=Path, help="your own latencies for the study's")
    cost.add_argument("--utilisation", type=_over(0, most=1), default=defaults.utilisation)
    cost.add_argument("--hours-per-day", type=_over(0, most=24), default=defaults.hours_per_day)
    cost.add_argument("--days-per-week", type=_over(0, most=7), default=defaults.days_per_week)
    cost.add_argument("--start-up-minutes", type=float, default=defaults.start_up_minutes)
    cost.add_argument("--idle-minutes", type=_over(0), default=defaults.idle_minutes)

    prices = commands.add_parser("prices", help="the dated price file")
    prices.add_argument("--refresh", action="store_true", help="ask the AWS Price List API")
    prices.add_argument("--region", action="append", default=[], help="one more region")
    prices.add_argument("--file", type=Path, default=pricing.PRICE_FILE)
    return parser
