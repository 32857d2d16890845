"""Compiles for Inferentia2 on this host, which has no Neuron device, and publishes the result.

Runs in the Neuron container, on its Python 3.10, with the boto3 that is in it.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks.build_scripts.environment import BuildEnvironment
from stacks.build_scripts.s3_folder import download, upload

# sd_contract has it too, but lies below CODE here, where this script doesn't look.
MANIFEST = "manifest.json"
CODE = Path("code")
# How a process that the kernel killed ends: told by its parent, and by a shell.
KILLED = (-9, 137)
# 144 GB is the most that CodeBuild has (BUILD_GENERAL1_2XLARGE).
MORE_MEMORY = (
    "Memory did not suffice: fewer or smaller sd.kinds.neuron.sizes need less; "
    "sd.kinds.neuron.compile.compute=training-job with instance_type=ml.trn1.32xlarge has 512 GB"
)


@dataclass(frozen=True)
class CompileJob(BuildEnvironment):
    """Prefixes end in "/"; `work_prefix` is for everything on the way to `target_prefix`, the
    compiled artifact's."""

    bucket: str
    weights_prefix: str
    work_prefix: str
    target_prefix: str
    hyperparameters: Mapping[str, str]


def run(job: CompileJob, s3: Any, work: Path, compile_with: Callable[[Sequence[str]], int]) -> int:
    """The compile's exit status; `compile_with` takes its flags. What is compiled is kept for the
    next run: this one may have failed, or that one have a size more."""
    bucket, checkpoints = job.bucket, f"{job.work_prefix}checkpoints/"
    folders = {name: work / name for name in ("weights", "checkpoints", "out")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    download(s3, bucket, job.weights_prefix, folders["weights"])
    download(s3, bucket, checkpoints, folders["checkpoints"])
    flags = {**job.hyperparameters, **folders}
    status = compile_with([*(f"--{name}={value}" for name, value in flags.items()), "--on-cpu"])
    if status in KILLED:
        print(f"the compiler was killed (status {status}). {MORE_MEMORY}", flush=True)
    upload(s3, folders["checkpoints"], bucket, checkpoints)
    if status == 0:
        upload(s3, folders["out"], bucket, job.target_prefix, last=MANIFEST)
    return status


def main() -> int:
    import boto3

    def compile_with(flags: Sequence[str]) -> int:
        return subprocess.run(
            [sys.executable, "-m", "inf2.compile", *flags], cwd=CODE, check=False
        ).returncode

    s3 = boto3.Session(region_name=os.environ["AWS_REGION"]).client("s3")
    return run(CompileJob.from_env(os.environ), s3, Path("work").resolve(), compile_with)


if __name__ == "__main__":
    sys.exit(main())
