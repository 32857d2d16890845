"""The request path on each image's diffusers and transformers, against the ones of development.

`.envs/<image>` holds those two and what they pin (no more: torch 2.13.0 on CPU, NumPy and the rest
are this environment's own), found first by PYTHONPATH. Made once, in seconds; made anew when its
requirements change.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.model_layouts import LAYOUTS, imported
from tests.fakes.serving import WEIGHTS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVS = ROOT / ".envs"
IMAGES = ("djl", "g5", "inf2")
TOLERANCE = 4
"""Of 255, at the worst of all values. The torch is the same, so what differs is the order of a few
float operations; 1 was seen (diffusers 0.16.0), 0 for the other two."""

Drawn = tuple[np.ndarray, dict[str, str], np.ndarray]
"""Pictures, versions, vectors."""


def run(script: list[str], *, pythonpath: list[Path]) -> str:
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, pythonpath)),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, *script], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(name: str, requirements: Path | None = None) -> Path:
    """Those of an image, or any others, in a folder of that name."""
    requirements = requirements or HERE / f"{name}.txt"
    folder = ENVS / name
    stamp = folder / ".made-from"
    wanted = f"{sys.version}\n{requirements.read_text()}"
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        options = ["--no-compile", "--target", str(folder), "-r", str(requirements)]
        run([*pip, *options], pythonpath=[])
        stamp.write_text(wanted)  # last: a broken install is made anew
    return folder


def pins(image: str) -> dict[str, str]:
    lines = (HERE / f"{image}.txt").read_text().splitlines()
    parted = (line.partition("==") for line in lines if not line.startswith("#"))
    return {name: version for name, _, version in parted}


def draw(pictures: Path, *first_on_path: Path, weights: Path = WEIGHTS) -> Drawn:
    printed = run(
        [str(HERE / "draw.py"), str(weights), str(pictures)],
        pythonpath=[*first_on_path, ROOT / "model_assets"],
    )
    vectors: np.ndarray = np.load(pictures.with_name("vectors.npy"))
    return np.load(pictures).astype(int), json.loads(printed.splitlines()[-1]), vectors


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return draw(tmp_path_factory.mktemp("here") / "pictures.npy")


@pytest.mark.environments
@pytest.mark.parametrize("image", IMAGES)
def test_draws_the_same_pictures_on_the_libraries_of(
    image: str,
    expected: Drawn,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pictures, versions, vectors = draw(tmp_path / "pictures.npy", install(image))
    wanted, own_versions, wanted_vectors = expected
    difference = int(np.abs(pictures - wanted).max())
    with capsys.disabled():
        print(
            f"\n{image}: {_text(versions)}: at most {difference} of 255 off {_text(own_versions)}"
        )
    assert {name: versions[name] for name in pins(image)} == pins(image)
    assert versions["torch"] == own_versions["torch"]
    assert len(pictures) == 8
    assert wanted.std() > 1  # a flat picture would equal any other
    assert difference <= TOLERANCE
    assert (vectors * wanted_vectors).sum(axis=1).min() > 0.99999


@pytest.fixture(scope="module")
def normalized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model as the newest diffusers saves it in fp16 shards, imported. Of what is in that
    layout, 0.16.0 can't load the names, the UNet's shards or the VAE's attention, and no
    transformers before 5 the tokenizer."""
    root = tmp_path_factory.mktemp("normalized")
    LAYOUTS["fp16 shards"](root / "source")
    return imported(root / "source", root / "bucket")


@pytest.mark.environments
@pytest.mark.parametrize("image", IMAGES)
def test_an_import_of_the_newest_layout_draws_the_same_on_the_libraries_of(
    image: str, expected: Drawn, normalized: Path, tmp_path: Path
) -> None:
    pictures, *_ = draw(tmp_path / "pictures.npy", install(image), weights=normalized)
    assert int(np.abs(pictures - expected[0]).max()) <= TOLERANCE


def _text(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in ("diffusers", "transformers", "torch"))
