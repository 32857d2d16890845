"""The gallery's stack beside the running variant: kept, found by the model's own text encoder, gone
with its stack."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from local_cloud.settings import REPOSITORY
from model_assets.tiny.picture_check import describe, expected
from tests.fakes.local_account import wait_for
from tests.local.up_cloud import UpCloud

pytestmark = pytest.mark.local
SAME_API = "sd.api.cache_ttl_s=0"
PICTURES = os.environ.get("SD_GALLERY_PICTURES", "40")


def get(up: UpCloud, path: str) -> tuple[int, dict[str, Any]]:
    response = up.send(up.api.request(path))
    return response.status_code, response.json()


def test_a_gallery_comes_is_searched_and_goes(up: UpCloud) -> None:
    assert get(up, "/pictures")[0] == 404
    up.deploy("SdGalleryStack", SAME_API)
    command = (*("similar", "--pictures", PICTURES, "--local"), str(up.out / "local.json"))
    measured = subprocess.run(
        [sys.executable, "-m", "benchmark", *command],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    print(measured)
    (row,) = (line.split("|") for line in measured.splitlines() if line.startswith("| 0."))
    assert float(row[1]) > 0.5
    # The local cloud's search is exact.
    assert float(row[3]) == 1

    prompt = "a red heart on a white background"
    fields = {"prompt": prompt, "seed": 5, "store": True, "response_format": "b64_json"}
    drawn = up.generate(**fields).json()["data"][0]
    found = wait_for(
        lambda: [
            each
            for each in up.send(up.api.request("/similar?prompt=a+red+heart&limit=100")).json()[
                "data"
            ]
            if each["id"] == drawn["id"]
        ]
    )
    kept = up._http.get(found[0]["url"]).content
    assert describe(kept) == expected(prompt)
    status, near = get(up, "/similar?prompt=a+red+heart&limit=3")
    assert status == 200
    # How good these are, among more, tests/unit/test_gallery_quality.py says.
    distances = [each["distance"] for each in near["data"]]
    assert len(distances) == 3
    assert distances == sorted(distances)

    up.destroy("SdGalleryStack", SAME_API)
    assert get(up, "/pictures")[0] == 404
    assert up.client("s3vectors").list_vector_buckets()["vectorBuckets"] == []
