"""Makes a Lambda layer of the packages of a requirements file, as a zip file in S3.

    python3 -m stacks.build_scripts.build_layer

with LayerJob's environment, and pip's: PIP_PLATFORM says for which machines. The object comes to be
as a whole, so one that is there is done.
"""

import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stacks.build_scripts.environment import BuildEnvironment

# Where Lambda's Python looks for packages in a layer (docs: Packaging layers).
ROOT = "python"
# For linking against, which nothing does there: half of c2pa-python.
LEFT_OUT = (".rlib", ".d")


@dataclass(frozen=True)
class LayerJob(BuildEnvironment):
    """`requirements` is a file's path: each package with its hashes, none that isn't named."""

    requirements: str
    bucket: str
    layer: str
    """The object's key."""


def build(job: LayerJob, s3: Any, pip: Sequence[str]) -> None:
    """Raises subprocess.CalledProcessError."""
    with TemporaryDirectory() as folder:
        packages, archive = Path(folder, "packages"), Path(folder, "layer.zip")
        subprocess.run(
            [
                *(*pip, "install", "--target", str(packages), "--no-deps", "--no-compile"),
                *("--only-binary", ":all:", "--require-hashes", "-r", job.requirements),
            ],
            check=True,
        )
        pack(packages, archive)
        s3.upload_file(str(archive), job.bucket, job.layer)
        print(f"{archive.stat().st_size:,} bytes in s3://{job.bucket}/{job.layer}")


def pack(packages: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(packages.rglob("*")):
            if path.is_file() and path.suffix not in LEFT_OUT:
                zipped.write(path, f"{ROOT}/{path.relative_to(packages).as_posix()}")


def main() -> None:
    import boto3

    job = LayerJob.from_env(os.environ)
    try:
        build(job, boto3.client("s3"), [sys.executable, "-m", "pip"])
    except subprocess.CalledProcessError as error:
        sys.exit(f"pip has not installed {job.requirements} (status {error.returncode})")


if __name__ == "__main__":
    main()
