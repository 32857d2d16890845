"""Real layouts of the small model: accepted, imported, loaded, and the same picture drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sd_contract.model_folder import read_folder
from sd_contract.model_layout import WEIGHTS as LAID_OUT
from sd_serving.diffusers_parts import load_diffusers
from sd_serving.engine import Engine
from sd_serving.weights import check_weights
from tests.model_layouts import KEY, LAYOUTS, WEIGHTS, imported
from tests.serving_fakes import config, request


def picture(folder: Path) -> bytes:
    parts = load_diffusers(folder, dtype=torch.float32, device=torch.device("cpu"))
    (result,) = Engine(parts, config()).generate([request(num_inference_steps=4)])
    return result.images[0]


@pytest.fixture(scope="module")
def own() -> bytes:
    return picture(WEIGHTS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_taken_imported_loaded_and_drawn_from(
    layout: str, own: bytes, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    LAYOUTS[layout](source)
    assert read_folder(source, layout).files

    folder = imported(source, tmp_path / "bucket")
    check_weights(folder, KEY)
    assert picture(folder) == own
    for path in LAID_OUT.values():
        stored, tensors = load_file(folder / path), load_file(WEIGHTS / path)
        assert stored.keys() == tensors.keys()
        assert all(torch.equal(stored[name], tensors[name]) for name in tensors)
