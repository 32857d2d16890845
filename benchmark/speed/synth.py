"""`cdk synth` with and without cdk-nag's checks.

`python -m benchmark.speed.synth` is the app without them: a CLI's --app.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.speed.machine import cpu
from benchmark.speed.rows import Measured

ROOT = Path(__file__).parents[2]
STACK = "SdInf2Stack"
APP = f"{sys.executable} app.py"
UNCHECKED = f"{sys.executable} -m benchmark.speed.synth"


class NoChecks:
    """In place of aws_cdk.Validations."""

    @classmethod
    def of(cls, _: Any) -> "NoChecks":
        return cls()

    def add_plugins(self, *_: Any) -> None:
        pass


def unchecked() -> None:
    import app

    # Its own name for it, so that acknowledgements stay what they are.
    vars(app)["Validations"] = NoChecks
    app.main()


def run(app: str) -> None:
    """One synth by the CLI. Raises BenchmarkError."""
    with tempfile.TemporaryDirectory(prefix="sd-synth-") as out:
        done = subprocess.run(
            ["npx", "cdk", "synth", STACK, "--quiet", "--app", app, "--output", out],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not (Path(out) / f"{STACK}.template.json").is_file():
            raise BenchmarkError(f"cdk synth --app {app!r}: {(done.stdout + done.stderr)[-500:]}")


def synth(rounds: int, run: Callable[[str], None] = run) -> Measured:
    """Seconds, the least of `rounds` that take turns."""
    seconds: dict[str, list[float]] = {APP: [], UNCHECKED: []}
    for _ in range(rounds):
        for app, spent in seconds.items():
            started = time.perf_counter()
            run(app)
            spent.append(time.perf_counter() - started)
    return Measured(
        min(seconds[APP]),
        min(seconds[UNCHECKED]),
        "",
        f"through the CDK's CLI, the least of {rounds} in turn",
        cpu(),
        date.today().isoformat(),
    )


if __name__ == "__main__":
    unchecked()
