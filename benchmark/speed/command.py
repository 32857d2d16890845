"""`benchmark speed`."""

import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.options import SpeedOptions
from benchmark.speed import batches, counted, load, make_test, pictures, start, synth
from benchmark.speed.full_size import make_full_size
from benchmark.speed.levers import ON_CPU, ON_GPU, TOGETHER, row_name
from benchmark.speed.record import page, read_record, write_record
from benchmark.speed.rows import BY_NAME, GPU, ROWS, Measured
from g5.options import DiffusersOptions

Measure = Callable[["Bench"], Measured]


class Bench:
    """What rows share: the weights, made once and only where a row wants them."""

    def __init__(self, options: SpeedOptions, scratch: Path) -> None:
        self.options = options
        self.scratch = scratch
        self._weights: Path | None = options.weights

    @property
    def weights(self) -> Path:
        """Full-size, float16."""
        if self._weights is None:
            self._weights = make_full_size(self.scratch / "full-size")
        return self._weights


def measures() -> dict[str, Measure]:
    return {
        "flops-standard-small": lambda _: counted.work("local", "standard"),
        "flops-standard": lambda _: counted.work("", "standard"),
        "flops-fast-small": lambda _: counted.work("local", "fast"),
        "flops-fast": lambda _: counted.work("", "fast"),
        "picture-cpu": lambda b: pictures.picture(
            b.weights, "cpu", side=b.options.side, steps=b.options.steps, rounds=b.options.rounds
        ),
        "picture-cpu-small": lambda _: pictures.picture(
            pictures.SMALL, "cpu", side=64, steps=25, rounds=10, in_turn=True
        ),
        "start": lambda b: start.start(b.weights, b.scratch, "cpu", b.options.rounds),
        "djl-batches": lambda _: batches.djl_batches(),
        "load-cpu-small": lambda _: load.load_small(),
        "synth": lambda b: synth.synth(rounds=b.options.rounds),
        **_levers(
            "cpu-small", ON_CPU, lambda _: pictures.SMALL, "cpu", side=64, rounds=10, in_turn=True
        ),
        "make-test": lambda _: make_test.make_test(),
        "start-gpu": lambda b: start.start(b.weights, b.scratch, "cuda", b.options.rounds),
        "picture-gpu": lambda b: pictures.picture(
            b.weights, "cuda", side=512, steps=25, rounds=b.options.rounds
        ),
        "picture-gpu-levers": lambda b: pictures.picture(
            b.weights, "cuda", side=512, steps=25, rounds=b.options.rounds, options=TOGETHER
        ),
        **_levers("gpu", ON_GPU, lambda b: b.weights, "cuda", side=512, rounds=5),
        "files-gpu": lambda b: pictures.files(
            b.weights, "cuda", side=512, steps=25, rounds=b.options.rounds
        ),
        "load-gpu": lambda b: load.load(b.weights, "cuda", side=512, steps=20),
    }


def _levers(
    where: str,
    levers: Mapping[str, tuple[DiffusersOptions, DiffusersOptions]],
    weights: Callable[[Bench], Path],
    device: str,
    *,
    side: int,
    rounds: int,
    in_turn: bool = False,
) -> dict[str, Measure]:
    how: dict[str, Any] = {"side": side, "steps": 25, "rounds": rounds, "in_turn": in_turn}

    def of(both: tuple[DiffusersOptions, DiffusersOptions]) -> Measure:
        return lambda b: pictures.lever(weights(b), device, both, **how)

    return {
        **{row_name(name, where): of(both) for name, both in levers.items()},
        row_name("prompt_cache", where): lambda b: pictures.prompt_cache(weights(b), device, **how),
    }


def speed(
    options: SpeedOptions,
    measure: dict[str, Measure] | None = None,
    has_gpu: Callable[[], bool] = pictures.has_gpu,
) -> str:
    """Each row is kept as soon as it is measured. Raises BenchmarkError."""
    unknown = [name for name in options.only or () if name not in BY_NAME]
    if unknown:
        raise BenchmarkError(f"--only {unknown[0]}: one of {', '.join(BY_NAME)}")
    wanted = [
        row for row in ROWS if (row.name in options.only if options.only else not row.when_named)
    ]
    on_gpu = any(row.section == GPU for row in wanted) and has_gpu()
    if options.only and not on_gpu and any(row.section == GPU for row in wanted):
        raise BenchmarkError("--only: PyTorch sees no GPU")
    file = options.page.with_suffix(".json")
    record = read_record(file)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sd-speed-")))
        bench = Bench(options, scratch)
        for row in wanted:
            if row.section == GPU and not on_gpu:
                continue
            print(f"== {row.name}: {row.what}", file=sys.stderr, flush=True)
            record[row.name] = (measure or measures())[row.name](bench)
            write_record(file, record)
    text = page(record)
    options.page.write_text(text)
    return text
