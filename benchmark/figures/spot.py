"""A fleet of spot instances over batches: what interruptions cost, and that they lose nothing.

The model, all of it printed with the figures. A batch is one job. When one instance is taken back
all of them stop at once, without a notice that could be used, and each loses the picture at hand;
the job waits for capacity and starts again, its parts shared out anew. An instance goes through
its parts, skips what has a result, and stores a picture and then its result, so that what it has
finished stays. All instances are billed from a start until the last of them is done, starting
included; waiting isn't.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sd_contract.batch import PART_PICTURES, PICTURES

Range = tuple[int, int]
"""Pictures of a batch from the first, included, to the second, not included."""
Share = Callable[[Sequence[Range], int, int, int], list[list[Range]]]
"""As `shards`."""


@dataclass(frozen=True)
class SpotFleet:
    """`interruptions_per_hour`: of the fleet while it runs, at random; 0 is a fleet on demand.
    `wait_s`: until there is capacity again, on average."""

    instances: int
    seconds_per_image: float
    start_up_s: float
    interruptions_per_hour: float = 0.0
    wait_s: float = 0.0


@dataclass(frozen=True)
class Course:
    """`instance_hours` are what is billed; `longest_hours` are of one batch.
    `drawn_again`: pictures that were begun more than once; `lost`: never finished; `doubled`:
    finished more than once."""

    hours: float
    instance_hours: float
    interruptions: float
    longest_hours: float = 0.0
    drawn_again: int = 0
    lost: int = 0
    doubled: int = 0


def batches_of(pictures: int) -> list[int]:
    """The pictures of each batch: as few batches as hold them, all full but the last."""
    full, rest = divmod(pictures, PICTURES)
    return [PICTURES] * full + [rest] * (rest > 0)


def expected(fleet: SpotFleet, batches: Sequence[int]) -> Course:
    """The mean of what `simulate` does, but for the pictures at hand.

    With interruptions at rate λ, a start of S that has to be gone through whole takes
    (e^λS − 1)/λ with its failed tries, and work of W asks for 1 + λW of them.
    """
    rate, start_up = fleet.interruptions_per_hour, fleet.start_up_s / 3600
    running = billed = 0.0
    for pictures in batches:
        instances = instances_of(fleet, pictures)
        longest = max(_size(s) for s in shards([(0, pictures)], pictures, instances, 0))
        work = longest * fleet.seconds_per_image / 3600
        tried = math.expm1(rate * start_up) / rate if rate else start_up
        ran = work + (1 + rate * work) * tried
        running += ran
        billed += ran * instances
    interruptions = rate * running
    return Course(running + interruptions * fleet.wait_s / 3600, billed, interruptions)


def simulate(
    fleet: SpotFleet, batches: Sequence[int], draw: random.Random, share: Share | None = None
) -> Course:
    """One course of things, the batches one after another. `share`: how parts are shared out."""
    share = share or shards
    running = billed = waited = longest = 0.0
    interruptions = drawn_again = lost = doubled = 0
    for pictures in batches:
        begun, finished = bytearray(pictures), bytearray(pictures)
        instances, before = instances_of(fleet, pictures), running + waited
        missing: list[Range] = [(0, pictures)]
        while missing:
            turn = draw.randrange(_parts(pictures))
            shared = share(missing, pictures, instances, turn)
            whole = fleet.start_up_s + max(map(_size, shared)) * fleet.seconds_per_image
            run = whole
            if fleet.interruptions_per_hour:
                run = min(whole, draw.expovariate(fleet.interruptions_per_hour / 3600))
            drawing = run - fleet.start_up_s
            each = math.ceil(drawing / fleet.seconds_per_image) if drawing > 0 else 0
            missing = []
            for shard in shared:
                tried, left = _split(shard, each)
                done: list[Range] = tried
                at_hand: list[Range] = []
                if run < whole and _size(tried) == each:
                    done, at_hand = _split(tried, each - 1)
                _count(begun, tried)
                _count(finished, done)
                missing += at_hand + left
            missing = _joined(missing)
            running += run
            billed += run * instances
            if run < whole:
                interruptions += 1
                waited += draw.expovariate(1 / fleet.wait_s) if fleet.wait_s else 0
        longest = max(longest, running + waited - before)
        drawn_again += pictures - begun.count(1)
        lost += finished.count(0)
        doubled += pictures - finished.count(0) - finished.count(1)
    hours = (running + waited) / 3600
    counted = drawn_again, lost, doubled
    return Course(hours, billed / 3600, interruptions, longest / 3600, *counted)


def instances_of(fleet: SpotFleet, pictures: int) -> int:
    """A job's: SageMaker gives each at least a part."""
    return min(fleet.instances, _parts(pictures))


def shards(
    missing: Sequence[Range], pictures: int, instances: int, first: int
) -> list[list[Range]]:
    """What each instance finds missing in its parts: as many whole parts for each, in order, from
    part `first` around. (S3's keys are shared out about evenly, in which order AWS doesn't say.)"""
    parts, turn = _parts(pictures), first * PART_PICTURES

    def place(part: int) -> int:
        """Where a part begins, counted from where the first does; past the last, once around."""
        around, part = divmod(part, parts)
        return around * pictures + part * PART_PICTURES - turn

    ahead = [(start - turn, end - turn) for start, end in _within(missing, turn, pictures)]
    behind = [
        (start - turn + pictures, end - turn + pictures) for start, end in _within(missing, 0, turn)
    ]
    cuts = [place(first + i * parts // instances) for i in range(instances + 1)]

    def back(piece: Range) -> Range:
        start = (piece[0] + turn) % pictures
        return start, start + piece[1] - piece[0]

    return [
        [back(piece) for piece in _within(ahead + behind, low, high)]
        for low, high in pairwise(cuts)
    ]


def _parts(pictures: int) -> int:
    return math.ceil(pictures / PART_PICTURES)


def _size(ranges: Sequence[Range]) -> int:
    return sum(end - start for start, end in ranges)


def _within(ranges: Sequence[Range], low: int, high: int) -> list[Range]:
    return [(max(s, low), min(e, high)) for s, e in ranges if s < high and e > low]


def _split(ranges: Sequence[Range], pictures: int) -> tuple[list[Range], list[Range]]:
    """The first so many, and the others."""
    first: list[Range] = []
    others: list[Range] = []
    for start, end in ranges:
        cut = min(end, start + pictures)
        pictures -= cut - start
        first += [(start, cut)] * (cut > start)
        others += [(cut, end)] * (end > cut)
    return first, others


def _joined(ranges: Sequence[Range]) -> list[Range]:
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if joined and joined[-1][1] == start:
            start = joined.pop()[0]
        joined.append((start, end))
    return joined


_ONE_MORE = bytes(min(count + 1, 255) for count in range(256))


def _count(counts: bytearray, ranges: Sequence[Range]) -> None:
    for start, end in ranges:
        counts[start:end] = counts[start:end].translate(_ONE_MORE)
