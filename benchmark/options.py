"""What each command takes: one frozen dataclass a command, in it a field an option.

`benchmark.cli` makes the command line from them: a field's annotation holds its help and parser, a
field without a default must be given, and the docstring is the command's help.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from sd_contract.sampling import STANDARD
from stacks.catalogue.prices import FILE

RESULTS = Path("out/bench/results.jsonl")
SPEED = Path("docs/speed.md")


def option(help: str, parse: Callable[[str], Any] = str, **more: Any) -> dict[str, Any]:
    """For argparse's `add_argument`, and so is `more`."""
    return {"help": help, "type": parse} | more


def switch(help: str) -> dict[str, Any]:
    return {"help": help, "action": "store_true"}


def over(least: float, most: float = float("inf"), kind: type = float) -> Callable[[str], Any]:
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


def not_below(least: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
        if not least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be at least {least:g}, is {text}")
        return value

    return parse


def tuple_of(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    return lambda text: tuple(kind(part.strip()) for part in text.split(",") if part.strip())


def width_x_height(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT")
    return int(width), int(height)


positive = over(0)
count = over(0, kind=int)


@dataclass(frozen=True)
class RunOptions:
    """send the prompts, append what came back"""

    url: Annotated[str | None, option("the API, ending in /v1")] = None
    key: Annotated[str | None, option("its key; or SD_API_KEY in the environment")] = None
    local: Annotated[Path | None, option("the local cloud's out/local.json: both", Path)] = None
    models: Annotated[tuple[str, ...], option("default: all registered", tuple_of(str))] = ()
    prompts: Annotated[str, option("real, tiny, held-out, or a file; default real")] = "real"
    prompt_count: Annotated[int | None, option("only the first so many", count)] = None
    steps: Annotated[int | None, option("default: the first variant's", count)] = None
    size: Annotated[str | None, option("default: the first size all of them serve")] = None
    guidance: Annotated[float | None, option("default: the first variant's", positive)] = None
    quality: Annotated[
        tuple[str, ...],
        option("modes, side by side: standard,fast; default standard", tuple_of(str)),
    ] = (STANDARD,)
    concurrency: Annotated[
        tuple[int, ...],
        option("closed loops, by callers; the first gets all prompts. Default 1", tuple_of(count)),
    ] = (1,)
    rates: Annotated[tuple[float, ...], option("open loops, a second", tuple_of(positive))] = ()
    load_requests: Annotated[int, option("in the others", count)] = 100
    repetitions: Annotated[int, option("of the first", count)] = 1
    warm_up: Annotated[int, option("requests a variant, not measured", int)] = 2
    timeout: Annotated[float, option("seconds a request", positive)] = 60.0
    response_format: Annotated[str, option("", choices=("b64_json", "url"))] = "b64_json"
    results: Annotated[Path, option("appended to", Path)] = RESULTS
    no_pictures: Annotated[bool, switch("don't keep the pictures")] = False
    cloudwatch_wait: Annotated[
        float | None,
        option("seconds before CloudWatch is asked; default 120 on AWS, 0 locally", float),
    ] = None


@dataclass(frozen=True)
class ReportOptions:
    """tables, charts and pages of a run"""

    results: Annotated[Path, option("of the run", Path)] = RESULTS
    out: Annotated[Path, option("the folder to write", Path)] = Path("out/bench/report")
    prompts: Annotated[str | None, option("the prompts file, if it was one of your own")] = None
    latency_bound: Annotated[float, option("p90, seconds", positive)] = 10.0
    clip_weights: Annotated[Path | None, option("CLIP's folder: adds its score", Path)] = None
    readme: Annotated[Path | None, option("put the first table between its markers", Path)] = None


@dataclass(frozen=True)
class StudyOptions:
    """the published figures through this code"""


@dataclass(frozen=True)
class LimitOptions:
    """the least seconds an accelerator needs"""

    size: Annotated[tuple[int, int], option("of a picture", width_x_height)] = (512, 512)
    steps: Annotated[int, option("a picture", count)] = 25
    guidance: Annotated[float, option("over 1 doubles the arithmetic", positive)] = 7.5
    results: Annotated[Path | None, option("adds a run's latencies", Path)] = None


@dataclass(frozen=True)
class CostOptions:
    """what a month costs"""

    # `utilisation`: how busy instances may be at the peak before queues grow too long.
    images_per_day: Annotated[float, option("mean over the month", positive)]
    peak_per_hour: Annotated[float | None, option("default: a tenth of a day's", positive)] = None
    region: Annotated[str, option("whose prices")] = "us-east-1"
    results: Annotated[Path | None, option("your own latencies for the study's", Path)] = None
    utilisation: Annotated[float, option("at the peak", over(0, 1))] = 0.7
    hours_per_day: Annotated[float, option("scheduled", over(0, 24))] = 10.0
    days_per_week: Annotated[float, option("scheduled", over(0, 7))] = 5.0
    start_up_minutes: Annotated[float, option("from zero", float)] = 10.0
    idle_minutes: Annotated[float, option("before zero", positive)] = 15.0


@dataclass(frozen=True)
class BulkOptions:
    """what a batch takes and costs, by engine"""

    pictures: Annotated[int, option("in all", count)]
    variant: Annotated[str, option("whose seconds a picture")]
    instances: Annotated[int, option("of each engine", count)] = 8
    region: Annotated[str, option("whose prices")] = "us-east-1"
    results: Annotated[Path | None, option("your own latencies for the study's", Path)] = None
    seconds: Annotated[float | None, option("a picture, in place of both", positive)] = None
    instance_type: Annotated[str | None, option("that serves; default: the figures'")] = None
    bulk_instance_type: Annotated[
        str | None, option("of the bulk job; default: ml.trn1.2xlarge for inf2, else the same")
    ] = None
    bulk_usd_per_hour: Annotated[float | None, option("on demand", positive)] = None
    spot_discount: Annotated[
        float | None, option("0.7 is 70 %%; default: the Spot Advisor's", over(0, 0.9))
    ] = None
    interruptions_per_hour: Annotated[
        float | None, option("of the whole fleet; default: see the tables", not_below(0))
    ] = None
    wait_minutes: Annotated[
        float | None, option("for spot capacity, each time; default: see the tables", not_below(0))
    ] = None
    start_up_minutes: Annotated[
        float, option("until an instance draws, from when it is asked for", not_below(0))
    ] = 10.0
    idle_minutes: Annotated[float, option("before zero", not_below(0))] = 15.0
    real_time_share: Annotated[float, option("of an endpoint's time", over(0, 1))] = 0.06
    seeds: Annotated[int, option("simulated courses of interruptions", count)] = 1000


@dataclass(frozen=True)
class PricesOptions:
    """the dated price file"""

    refresh: Annotated[bool, switch("ask the AWS Price List API")] = False
    region: Annotated[tuple[str, ...], option("one more region", action="append")] = ()
    file: Annotated[Path, option("as stacks/catalogue/prices.json is, the default", Path)] = FILE


@dataclass(frozen=True)
class OverheadOptions:
    """what the front door takes itself"""

    requests: Annotated[int, option("one after another", count)] = 1000


@dataclass(frozen=True)
class SimilarOptions:
    """searches in the gallery by GET /similar, against exact ones"""

    url: Annotated[str | None, option("the API, ending in /v1")] = None
    key: Annotated[str | None, option("its key; or SD_API_KEY in the environment")] = None
    local: Annotated[Path | None, option("the local cloud's out/local.json: both", Path)] = None
    model: Annotated[str | None, option("default: the API's")] = None
    pictures: Annotated[int, option("kept ones; drawn first, as far as there are less", count)] = (
        200
    )
    steps: Annotated[int, option("of those that are drawn", count)] = 1
    timeout: Annotated[float, option("seconds a request, or until all are kept", positive)] = 120.0


@dataclass(frozen=True)
class QualityOptions:
    """sampling settings: their arithmetic against their pictures"""

    prompts: Annotated[int, option("the first so many", over(0, 1000, int))] = 200
    settings: Annotated[
        tuple[str, ...],
        option("as 15-karras,25-linspace-guidance0.8,15-karras-cache2", tuple_of(str)),
    ] = ()
    model: Annotated[
        Path | None, option("a folder of real weights, as diffusers lays it out", Path)
    ] = None
    prompt_set: Annotated[str, option("of real weights: real, or a file")] = "real"
    size: Annotated[
        tuple[int, int] | None, option("of real weights; default 512x512", width_x_height)
    ] = None
    guidance: Annotated[float | None, option("default: 4, or 7.5 of real weights", over(1))] = None
    batch: Annotated[
        int | None, option("pictures at a time; default: 20, or 1 of real weights", count)
    ] = None
    clip_weights: Annotated[
        Path | None, option("of real weights: CLIP's folder, adds its score", Path)
    ] = None
    lpips: Annotated[bool, switch("of real weights: adds LPIPS")] = False
    out: Annotated[
        Path | None, option("to write to; default: docs/speed, or out/quality", Path)
    ] = None
    drawn: Annotated[
        Path, option("where pictures are kept: what is there isn't drawn again", Path)
    ] = Path("out/quality/drawn")


@dataclass(frozen=True)
class ProjectOptions:
    """published seconds and dollars in other sampling settings"""

    settings: Annotated[tuple[str, ...], option("as of quality", tuple_of(str))] = (
        *("25-linspace", "20-karras", "15-karras"),
        *("12-karras", "10-karras"),
    )
    region: Annotated[str, option("whose prices")] = "us-east-1"
    quality: Annotated[Path, option("what `quality` wrote", Path)] = Path("docs/speed/quality.json")


@dataclass(frozen=True)
class SpeedOptions:
    """ours against the plain way, by row: docs/speed.md"""

    only: Annotated[
        tuple[str, ...] | None, option("these rows; default: all this machine can", tuple_of(str))
    ] = None
    weights: Annotated[
        Path | None, option("full-size, imported; default: random ones, made for the run", Path)
    ] = None
    side: Annotated[int, option("of a full-size picture on a CPU, pixels", count)] = 512
    steps: Annotated[int, option("of it", count)] = 2
    rounds: Annotated[int, option("of each side", count)] = 2
    page: Annotated[Path, option("written; its record beside it as .json", Path)] = SPEED


Options = (
    RunOptions
    | ReportOptions
    | StudyOptions
    | LimitOptions
    | CostOptions
    | BulkOptions
    | PricesOptions
    | OverheadOptions
    | SimilarOptions
    | QualityOptions
    | ProjectOptions
    | SpeedOptions
)
COMMANDS: dict[str, type[Options]] = {
    "run": RunOptions,
    "report": ReportOptions,
    "study": StudyOptions,
    "limit": LimitOptions,
    "cost": CostOptions,
    "bulk": BulkOptions,
    "prices": PricesOptions,
    "overhead": OverheadOptions,
    "similar": SimilarOptions,
    "quality": QualityOptions,
    "project": ProjectOptions,
    "speed": SpeedOptions,
}
