"""The compile on the libraries of the Neuron container: its parity gate is the check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stacks.settings import ROOT
from tests.environments.test_environments import install, pins, run
from tests.fakes.compiled_model import PART_KEYS
from tests.fakes.serving import WEIGHTS

FLAGS = {
    "weights": WEIGHTS,
    "key": "k",
    "part-keys": json.dumps(PART_KEYS),
    "sizes": "64x64",
    "backend": "torchscript",
    "sdk": "2.26.0",
    "dtype": "bfloat16",
}


@pytest.mark.environments
def test_compiles_on_the_neuron_container_s_diffusers_and_transformers(tmp_path: Path) -> None:
    flags = {**FLAGS, "out": tmp_path / "out", "checkpoints": tmp_path / "checkpoints"}
    run(
        ["-m", "inf2.compile", *(f"--{name}={value}" for name, value in flags.items())],
        pythonpath=[install("inf2"), ROOT / "model_assets"],
    )
    document = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert document["parity"]["status"] == "passed"
    assert pins("inf2")["diffusers"] == "0.35.2"
