"""AWS's container accounts and repositories, held against the SageMaker SDK's own lists."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from stacks.settings import ROOT

IMAGES = json.loads((ROOT / "stacks" / "catalogue" / "images.json").read_text())
# repository → (list, path in it)
LISTS = {
    "huggingface-pytorch-inference": (
        "huggingface",
        ("inference", "versions", "4.51.3", "pytorch2.6.0"),
    ),
    "djl-inference": ("djl-deepspeed", ("versions", "0.27.0")),
    "huggingface-pytorch-inference-neuronx": (
        "huggingface-neuronx",
        ("inference", "versions", "4.55.4", "pytorch2.7.1"),
    ),
}


@pytest.fixture(scope="module")
def sdk() -> Path:
    """The SDK's wheel alone, 2 MB, kept for the next time."""
    pinned = (ROOT / "stacks" / "build_scripts" / "compile-requirements.txt").read_text()
    found = re.search(r"^sagemaker==(\S+)$", pinned, re.MULTILINE)
    assert found
    folder = ROOT / ".envs" / f"sagemaker-{found[1]}"
    if not list(folder.glob("*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command = [*pip, "--dest", str(folder), found[0]]
        subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.environments
@pytest.mark.parametrize("repository", LISTS)
def test_accounts_are_the_sdk_s(sdk: Path, repository: str) -> None:
    name, path = LISTS[repository]
    with zipfile.ZipFile(sdk) as wheel:
        entry: Any = json.loads(wheel.read(f"sagemaker/image_uri_config/{name}.json"))
    for step in path:
        entry = entry[step]
    assert entry["repository"] == repository
    theirs = {region: a for region, a in entry["registries"].items() if "iso" not in region}
    assert IMAGES["accounts"][repository] == theirs


def test_every_repository_is_held_against_the_sdk() -> None:
    assert IMAGES["accounts"].keys() == LISTS.keys()
