"""Compiles for Inferentia2 on this host, which has no Neuron device, and publishes the result.

Runs in the Neuron container, on its Python 3.10, with the boto3 that is in it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stacks.build_scripts.s3_folder import download, upload

MANIFEST = "manifest.json"
CODE = Path("code")
# How a process that the kernel killed ends: told by its parent, and by a shell.
KILLED = (-9, 137)
# 144 GB is the most that CodeBuild has (BUILD_GENERAL1_2XLARGE).
MORE_MEMORY = (
    "Memory did not suffice: fewer or smaller sd.inf2.sizes need less; "
    "-c sd.compile.compute=training-job -c sd.compile.instance_type=ml.trn1.32xlarge has 512 GB"
)


def run(
    env: Mapping[str, str], s3: Any, work: Path, compile_with: Callable[[Sequence[str]], int]
) -> int:
    """The compile's exit status; `compile_with` takes its flags. What is compiled is kept for the
    next run where this one fails."""
    bucket = env["SD_BUCKET"]
    checkpoints = f"{env['SD_WORK_PREFIX']}checkpoints/"
    folders = {name: work / name for name in ("weights", "checkpoints", "out")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    download(s3, bucket, env["SD_WEIGHTS_PREFIX"], folders["weights"])
    download(s3, bucket, checkpoints, folders["checkpoints"])
    flags = {**json.loads(env["SD_HYPERPARAMETERS"]), **folders}
    status = compile_with([*(f"--{name}={value}" for name, value in flags.items()), "--on-cpu"])
    if status in KILLED:
        print(f"the compiler was killed (status {status}). {MORE_MEMORY}", flush=True)
    if status:
        upload(s3, folders["checkpoints"], bucket, checkpoints)
    else:
        upload(s3, folders["out"], bucket, env["SD_TARGET_PREFIX"], last=MANIFEST)
    return status


def main(env: Mapping[str, str] = os.environ) -> int:
    import boto3

    def compile_with(flags: Sequence[str]) -> int:
        return subprocess.run(
            [sys.executable, "-m", "inf2.compile", *flags], cwd=CODE, check=False
        ).returncode

    s3 = boto3.Session(region_name=env["AWS_REGION"]).client("s3")
    return run(env, s3, Path("work").resolve(), compile_with)


if __name__ == "__main__":
    sys.exit(main())
