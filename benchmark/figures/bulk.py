"""What pictures take and cost by a batch's engines, where nothing else keeps the instances.

The model, all of it printed with the figures. A real-time endpoint runs for others anyway: a batch
takes its share of the time and pays for that; an endpoint for the batch alone is started first. An
asynchronous one starts its first instance, finds the backlog and starts the others, and lets all go
after an idle time. A bulk job is a spot fleet's or the same on demand (`figures.spot`), one a
batch, one batch after another.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.figures.spot import Course, SpotFleet, batches_of, expected
from benchmark.figures.stats import cost_per_million
from benchmark.options import BulkOptions
from stacks.catalogue.prices import HOURS_PER_MONTH

DATA: Mapping[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "bulk.json").read_text())
NEURON = {"ml.inf2.xlarge": "ml.trn1.2xlarge"}
"""One chip with two NeuronCores-v2 each: the same graphs. Training jobs have no inf2."""
WORKER_GB = 0.5
"""Of the function that waits for a real-time endpoint's picture."""
REQUESTS: Mapping[str, Mapping[str, float]] = {
    # A picture and its result; the queue's receive and delete, and a tenth of a send; a receive
    # that comes too early and is put off, with its call; the marker and the counters in one
    # transaction, which costs twice; until when it pauses.
    "real-time": {
        "S3 PUT": 2,
        "SQS FIFO request": 4.1,
        "Lambda call": 2,
        "DynamoDB write unit": 5,
    },
    # The input, SageMaker's output and a record of what was sent besides; one call that is told.
    "async": {"S3 PUT": 4, "Lambda call": 1, "DynamoDB write unit": 5},
    "bulk": {"S3 PUT": 2},
}
"""By engine, what a picture takes of them."""


@dataclass(frozen=True)
class Price:
    """`usd_per_hour` None: not known. `source` says where it is from, or how to get it."""

    usd_per_hour: float | None
    source: str


@dataclass(frozen=True)
class Spot:
    """`discount` is the share of the price on demand that is saved."""

    discount: float
    discount_source: str
    interruptions_per_hour: float
    interruptions_source: str
    wait_s: float
    wait_source: str


@dataclass(frozen=True)
class Job:
    """What is asked for, with the figures it rests on. `seconds_per_image` on either instance."""

    seconds_per_image: float
    seconds_source: str
    serving_type: str
    serving_price: Price
    bulk_type: str
    bulk_price: Price
    spot: Spot
    options: BulkOptions

    @property
    def drawing_hours(self) -> float:
        return self.options.pictures * self.seconds_per_image / 3600

    @property
    def batches(self) -> list[int]:
        return batches_of(self.options.pictures)

    def fleet(self, interruptions_per_hour: float = 0.0, wait_s: float = 0.0) -> SpotFleet:
        start_up_s = self.options.start_up_minutes * 60
        seconds, instances = self.seconds_per_image, self.options.instances
        return SpotFleet(instances, seconds, start_up_s, interruptions_per_hour, wait_s)


@dataclass(frozen=True)
class Estimate:
    """By one engine. The sums are None without a price."""

    engine: str
    instance_type: str
    usd_per_hour: float | None
    pictures: int
    hours: float
    instance_hours: float
    requests_usd: float

    @property
    def usd(self) -> float | None:
        if self.usd_per_hour is None:
            return None
        return self.instance_hours * self.usd_per_hour + self.requests_usd

    @property
    def usd_per_million(self) -> float | None:
        return None if self.usd is None else self.usd / self.pictures * 1e6


def estimates(job: Job) -> list[Estimate]:
    options, work = job.options, job.drawing_hours
    pictures, instances = options.pictures, options.instances
    start_up = options.start_up_minutes / 60

    def served(
        engine: str, kind: str, hours: float, instance_hours: float, held_s: float = 0.0
    ) -> Estimate:
        price = job.serving_price.usd_per_hour
        spent = requests_usd(kind, pictures, held_s)
        return Estimate(engine, job.serving_type, price, pictures, hours, instance_hours, spent)

    def in_bulk(engine: str, price: float | None, course: Course) -> Estimate:
        billed = course.instance_hours
        spent = requests_usd("bulk", pictures)
        return Estimate(engine, job.bulk_type, price, pictures, course.hours, billed, spent)

    alone = start_up + work / instances
    hours, running = from_zero(job)
    share = options.real_time_share
    spot, usd = job.spot, job.bulk_price.usd_per_hour
    interrupted = job.fleet(spot.interruptions_per_hour, spot.wait_s)
    return [
        served(
            f"real-time, {share:.0%} of it",
            "real-time",
            work / instances / share,
            work,
            job.seconds_per_image,
        ),
        served(
            "real-time, for the batch alone",
            "real-time",
            alone,
            instances * alone,
            job.seconds_per_image,
        ),
        served("asynchronous, from zero", "async", hours, running),
        in_bulk("bulk, on demand", usd, expected(job.fleet(), job.batches)),
        in_bulk("bulk, on spot", spot_price(job), expected(interrupted, job.batches)),
    ]


def from_zero(job: Job) -> tuple[float, float]:
    """Hours until the last picture, and the hours of all instances."""
    options, work = job.options, job.drawing_hours
    start_up, idle = options.start_up_minutes / 60, options.idle_minutes / 60
    alone = min(work, start_up)
    others = options.instances - 1 if work > start_up else 0
    together = (work - alone) / options.instances
    running = start_up + alone + together + idle
    return start_up + alone + together, running + others * (start_up + together + idle)


def spot_price(job: Job) -> float | None:
    usd = job.bulk_price.usd_per_hour
    return None if usd is None else usd * (1 - job.spot.discount)


def requests_usd(engine: str, pictures: int, held_s: float = 0.0) -> float:
    """`held_s`: how long a picture keeps a function waiting."""
    each = {**REQUESTS[engine], "Lambda GB second": WORKER_GB * held_s}
    prices = DATA["requests"]
    usd = [float(n * prices[name]["usd_per_million"]) for name, n in each.items()]
    return sum(usd) * pictures / 1e6


def spot_usd_per_million(job: Job, seconds: float) -> float | None:
    """Of pictures that take so many of an instance each, their requests included."""
    usd = spot_price(job)
    if usd is None:
        return None
    return cost_per_million(seconds, usd) + requests_usd("bulk", 1_000_000)


def bulk_price(instance_type: str, listed: Price, options: BulkOptions) -> Price:
    """`listed`: of hosting, which the price file has."""
    if options.bulk_usd_per_hour is not None:
        return Price(options.bulk_usd_per_hour, "--bulk-usd-per-hour")
    if listed.usd_per_hour is not None:
        return Price(listed.usd_per_hour, f"hosting's, taken for training: {listed.source}")
    ec2 = DATA["ec2"]
    if usd := ec2["regions"].get(options.region, {}).get(instance_type):
        return Price(usd * ec2["mark_up"], f"{ec2['source']}; --bulk-usd-per-hour")
    return Price(None, "--bulk-usd-per-hour")


def spot_of(instance_type: str, options: BulkOptions) -> Spot:
    """Raises BenchmarkError where the Spot Advisor's copy hasn't the type and none is given."""
    advisor, traces = DATA["spot"], DATA["traces"]
    entry = advisor["regions"].get(options.region, {}).get(instance_type, {})
    discount, rate = options.spot_discount, options.interruptions_per_hour
    discount_source = rate_source = "as given"
    wait_source = "as given"
    if discount is None:
        if "saved" not in entry:
            raise BenchmarkError(
                f"no spot discount of {instance_type} in {options.region} is known: "
                "give --spot-discount"
            )
        discount, discount_source = entry["saved"], f"{advisor['source']}; --spot-discount"
    if rate is None:
        rate, rate_source = traces["fleet_interruptions_per_hour"], traces["source"]
        if share := entry.get("interrupted_a_month"):
            rate = -math.log(1 - share) / HOURS_PER_MONTH * options.instances
            rate_source = f"at most {share:.0%} of instances a month: {advisor['source']}"
        rate_source += "; --interruptions-per-hour"
    wait = options.wait_minutes
    if wait is None:
        wait, wait_source = traces["wait_minutes"], f"{traces['source']}; --wait-minutes"
    return Spot(discount, discount_source, rate, rate_source, wait * 60, wait_source)
