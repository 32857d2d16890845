"""The serving image on a local cloud, with a slow model that needs no weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from local_cloud.child import ChildCloud
from local_cloud.docker.store import ImageRecord
from local_cloud.settings import REPOSITORY
from tests.fakes.training_job import push_image

DIGEST = "sha256:" + "3" * 64
ENVIRONMENT = {
    "PYTHONPATH": f"/opt/sd:{REPOSITORY}",
    "SD_LOADER": "tests.fakes.serving:load_slow",
}


def push_serving_image(cloud: ChildCloud, repository: str) -> str:
    """Its URI."""

    def fill(rootfs: Path) -> None:
        for package in ("sd_contract", "sd_serving"):
            source = REPOSITORY / "model_assets" / package
            shutil.copytree(source, rootfs / "opt/sd" / package, dirs_exist_ok=True)

    push_image(
        cloud, repository, DIGEST, ImageRecord("base:1", ENVIRONMENT, ("python", "-V")), fill
    )
    return f"000000000000.dkr.ecr.us-east-1.amazonaws.com/{repository}:1"
