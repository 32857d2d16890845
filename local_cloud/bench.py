"""`make bench`: every variant on a local cloud, the 100 prompts through each, then the report."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from local_cloud.deployment import out_folder
from local_cloud.failed import Failed
from local_cloud.running import Running, say
from local_cloud.settings import REPOSITORY

# SdG5Stack is deployed by then.
_OTHER_STACKS = ("SdDjlStack", "SdInf2Stack")
# The small model draws more a second than the API's plan lets through.
_PLAN = ("sd.api.rate_per_s=100", "sd.api.burst=200")


def bench(running: Running, arguments: Sequence[str]) -> None:
    """Deploys what is missing, measures, reports. `arguments` go to `python -m benchmark run`.

    The cloud is a new one each time, so are its results: those of an earlier one would be resumed.
    """
    for stack in _OTHER_STACKS:
        say(f"cdk deploy {stack}")
        running.deployment.deploy(stack, context=_PLAN)
    results = out_folder() / "bench" / "results.jsonl"
    results.unlink(missing_ok=True)
    # CloudWatch's figures are read with the deployer's keys.
    environment = {**os.environ, **running.cloud.environment()}
    _benchmark(
        environment, "run", "--local", str(out_folder() / "local.json"), "--prompts", "tiny",
        "--results", str(results), *arguments,
    )  # fmt: skip
    _benchmark(
        environment, "report", "--results", str(results), "--out", str(results.parent / "report")
    )


def _benchmark(environment: Mapping[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments], cwd=REPOSITORY, env=environment
    )
    if done.returncode:
        # It has said why on its own output.
        raise Failed(f"benchmark {arguments[0]} ended with status {done.returncode}.")
