"""What a month costs: each variant in each scaling mode, the capacity for the peak, break-evens.

The model, all of it printed with the figures. Requests arrive at random around the clock.
Always on: enough instances for the busiest hour, all month. Scheduled: the same within service
hours, and the whole week's pictures fall into them. Scale to zero: with arrivals at rate λ, an
idle time T before the instance is let go and S to start one, the share of time something runs is
(λS + e^λT − 1) / (λS + e^λT) (a renewal argument: on for S and then until a gap longer than T,
off until the next arrival); once that is not enough, capacity follows the load.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from benchmark.errors import BenchmarkError
from benchmark.options import CostOptions
from stacks.catalogue.prices import HOURS_PER_MONTH

WEEKS_PER_MONTH = HOURS_PER_MONTH / (24 * 7)
MOST_PER_DAY = 10_000_000
ALIKE = 0.05
PEAK_SHARE = 0.1
"""Of the day's pictures in the busiest hour, where no other peak is given."""


class Mode(Enum):
    ALWAYS_ON = "always on"
    SCHEDULED = "scheduled"
    SCALE_TO_ZERO = "scale to zero"


@dataclass(frozen=True)
class Demand:
    images_per_day: float
    peak_per_hour: float


def demand_of(options: CostOptions) -> Demand:
    """Raises BenchmarkError if the given peak is below the average hour."""
    per_day, peak = options.images_per_day, options.peak_per_hour
    if peak is None:
        return Demand(per_day, PEAK_SHARE * per_day)
    if peak < per_day / 24:
        raise BenchmarkError(
            f"a busiest hour of {peak:g} can't be: "
            f"{per_day:g} a day are {per_day / 24:.4g} in the average hour"
        )
    return Demand(per_day, peak)


@dataclass(frozen=True)
class Candidate:
    """A variant as far as its cost goes; `basis` says where its seconds an image are from.
    `usd_per_hour` None: its price isn't known, and `price_source` says how to get it."""

    name: str
    instance_type: str
    seconds_per_image: float
    usd_per_hour: float | None
    price_source: str
    basis: str


@dataclass(frozen=True)
class Monthly:
    """The sums are None without a price."""

    candidate: Candidate
    mode: Mode
    demand: Demand
    instances: int
    instance_hours: float

    @property
    def usd(self) -> float | None:
        price = self.candidate.usd_per_hour
        return None if price is None else self.instance_hours * price

    @property
    def usd_per_thousand(self) -> float | None:
        thousands = self.demand.images_per_day * HOURS_PER_MONTH / 24 / 1000
        return None if self.usd is None else self.usd / thousands


def instances_for(candidate: Candidate, peak_per_hour: float, utilisation: float) -> int:
    per_instance = 3600 / candidate.seconds_per_image * utilisation
    return max(1, math.ceil(peak_per_hour / per_instance - 1e-9))


def monthly(candidate: Candidate, mode: Mode, demand: Demand, assume: CostOptions) -> Monthly:
    instances = instances_for(candidate, demand.peak_per_hour, assume.utilisation)
    match mode:
        case Mode.ALWAYS_ON:
            hours = instances * HOURS_PER_MONTH
        case Mode.SCHEDULED:
            weekly = assume.hours_per_day * assume.days_per_week
            hourly = max(demand.peak_per_hour, demand.images_per_day * 7 / weekly)
            instances = instances_for(candidate, hourly, assume.utilisation)
            hours = instances * weekly * WEEKS_PER_MONTH
        case Mode.SCALE_TO_ZERO:
            busy = demand.images_per_day / 24 * candidate.seconds_per_image / 3600
            running = max(running_share(demand.images_per_day, assume), busy / assume.utilisation)
            hours = min(running, instances) * HOURS_PER_MONTH
    return Monthly(candidate, mode, demand, instances, hours)


def running_share(images_per_day: float, assume: CostOptions) -> float:
    """The share of time an instance runs that is let go after idling, 0 to 1."""
    rate = images_per_day / (24 * 60)
    started = rate * assume.start_up_minutes
    waited = rate * assume.idle_minutes
    if waited > 700:  # e^waited would overflow, and the share is 1 to all digits
        return 1.0
    return (started + math.expm1(waited)) / (started + math.exp(waited))


@dataclass(frozen=True)
class Range:
    """From `start` to `end` images a day, both included; `cheaper` None: within 5 %."""

    start: int
    end: int
    cheaper: str | None


def compare(
    first: tuple[str, Callable[[float], float]],
    second: tuple[str, Callable[[float], float]],
    most: int = MOST_PER_DAY,
) -> list[Range]:
    """Which of two costs is lower, by daily volume. Volumes are tried on a grid of 2 % steps and
    each change then found exactly; a change back within one step can be missed."""

    def cheaper(volume: int) -> str | None:
        a, b = first[1](volume), second[1](volume)
        if abs(a - b) <= ALIKE * min(a, b):
            return None
        return first[0] if a < b else second[0]

    ranges: list[Range] = []
    start, at = 1, 1
    while at < most:
        following = min(most, max(at + 1, int(at * 1.02)))
        if cheaper(following) != cheaper(at):
            low, high = at, following
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if cheaper(middle) == cheaper(at) else (low, middle)
            ranges.append(Range(start, low, cheaper(low)))
            start = following = high
        at = following
    return [*ranges, Range(start, most, cheaper(most))]
