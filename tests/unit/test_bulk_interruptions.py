"""A thousand courses of random interruptions through what the container really runs: the work's
parts dealt anew at each start, each instance killed without a word at some point or other."""

import random
import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from sd_contract.batch import BatchKeys, UnitResult, WorkLine
from sd_contract.batch_store import BatchStore
from sd_contract.invocation import Answer, Invocation
from sd_serving.bulk import draw_all, pending
from sd_serving.engine import Engine
from tests.fakes.batch_objects import BUCKET, FakeBatchBucket
from tests.fakes.serving import LogDouble, request

KEYS = BatchKeys("batch_1")
INSTANCES = 3
LINES = [
    WorkLine.of(
        number, f"line {number}", request(seed=number * 100, num_images=1 + number % 4), str
    )
    for number in range(1, 11)
]
LINES_A_PART = 2
SEEDS = 1000


class Interrupted(BaseException):
    """As SIGKILL ends a process: nothing of it catches this."""


class Fuse:
    """Raises Interrupted when it is come to once more than `steps` times."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def __call__(self, *_: object) -> None:
        self._left -= 1
        if self._left < 0:
            raise Interrupted


class Drawing:
    """An engine that is interrupted while it draws some picture, if by then its fuse has blown."""

    def __init__(self, begun: Counter[int], fuse: Fuse) -> None:
        self._begun, self._fuse = begun, fuse

    def generate(self, asked: Sequence[Invocation]) -> list[Answer]:
        (one,) = asked
        assert one.seed is not None
        self._begun[one.seed] += 1
        self._fuse()
        return [Answer((b"%d" % one.seed,), (one.seed,), {}, {})]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("work")
    written = []
    for number, start in enumerate(range(0, len(LINES), LINES_A_PART)):
        written.append(folder / f"part-{number:05d}.jsonl")
        of_part = LINES[start : start + LINES_A_PART]
        written[-1].write_text("".join(f"{line.to_json()}\n" for line in of_part))
    return written


def run(parts: Sequence[Path], draw: random.Random, steps: int) -> tuple[int, Counter[int]]:
    """Until a start comes to its end: how many were interrupted, how often each picture was begun.
    An instance comes to at most `steps` points, of which a picture has three."""
    begun: Counter[int] = Counter()
    bucket = FakeBatchBucket()
    interruptions = 0
    finished = False
    while not finished:
        dealt = draw.sample(parts, len(parts))
        last = interruptions == 5
        finished = True
        for instance in range(INSTANCES):
            fuse = Fuse(10_000 if last else draw.randrange(steps))
            bucket.on_put = fuse
            store = BatchStore(bucket, BUCKET, KEYS)
            load = partial(cast, Engine, Drawing(begun, fuse))
            units = pending(sorted(dealt[instance::INSTANCES]), store)
            try:
                assert draw_all(units, store, load, threading.Event(), LogDouble())
            except Interrupted:
                finished = False
        interruptions += not finished
    results = [UnitResult.from_json(bucket.objects[key]) for key in bucket.below(KEYS.results)]
    wanted = [unit for line in LINES for unit in line.units]
    assert [(r.line, r.image, r.seed) for r in results] == [
        (unit.line, unit.image, unit.seed) for unit in wanted
    ]
    for result in results:
        assert result.key
        assert bucket.objects[result.key] == b"%d" % result.seed
    stored = Counter(bucket.puts)
    assert all(stored[KEYS.result(unit)] == 1 for unit in wanted)
    return interruptions, begun


def test_over_a_thousand_seeds_no_line_is_lost_or_doubled(parts: list[Path]) -> None:
    seen: Counter[int] = Counter()
    for seed in range(SEEDS):
        interruptions, begun = run(parts, random.Random(seed), steps=60)
        again = sum(begun.values()) - len(begun)
        # At most the one at hand, in each instance, at each interruption.
        assert again <= interruptions * INSTANCES, seed
        seen[interruptions] += 1
    # The seeds hold every course from hardly any interruption to five in a row.
    assert len(seen) >= 5
