"""`make test` and the same tests one after another."""

import subprocess
import time
from collections.abc import Callable
from datetime import date

from benchmark.errors import BenchmarkError
from benchmark.speed.machine import cpu
from benchmark.speed.processes import ROOT
from benchmark.speed.rows import Measured


def run(target: str) -> None:
    """`make` of it. Raises BenchmarkError where a test fails."""
    done = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"make {target}: {(done.stdout + done.stderr)[-500:]}")


def make_test(run: Callable[[str], None] = run) -> Measured:
    """Seconds, once each; ours first, with the colder caches."""
    seconds = {}
    for target in ("test", "in-turn"):
        started = time.perf_counter()
        run(target)
        seconds[target] = time.perf_counter() - started
    return Measured(
        seconds["test"],
        seconds["in-turn"],
        "",
        "lint included on both sides; once each",
        cpu(),
        date.today().isoformat(),
    )
