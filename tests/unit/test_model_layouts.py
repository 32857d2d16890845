"""Real layouts of the small model: accepted, imported, loaded, and the same picture drawn."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sd_contract.model_folder import folder_sizes, read_folder, read_model
from sd_contract.model_layout import CONFIGS, SCHEDULER_CONFIG
from sd_contract.model_layout import WEIGHTS as LAID_OUT
from sd_contract.tensor_file import Tensor, write_header
from sd_serving.diffusers_parts import load_diffusers
from sd_serving.engine import Engine
from sd_serving.weights import check_weights
from stacks.settings import ROOT
from tests.fakes.model_layouts import KEY, LAYOUTS, imported
from tests.fakes.serving import WEIGHTS, config, request


def pixels(folder: Path) -> bytes:
    parts = load_diffusers(folder, dtype=torch.float32, device=torch.device("cpu"))
    (result,) = Engine(parts, config()).generate([request(num_inference_steps=4)])
    return Image.open(io.BytesIO(result.images[0])).tobytes()


@pytest.fixture(scope="module")
def own() -> bytes:
    return pixels(WEIGHTS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_taken_imported_loaded_and_drawn_from(
    layout: str, own: bytes, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    LAYOUTS[layout](source)
    assert read_folder(source, layout).files

    folder = imported(source, tmp_path / "bucket")
    check_weights(folder, KEY)
    assert pixels(folder) == own
    for path in LAID_OUT.values():
        stored, tensors = load_file(folder / path), load_file(WEIGHTS / path)
        assert stored.keys() == tensors.keys()
        assert all(torch.equal(stored[name], tensors[name]) for name in tensors)


def networks(unet: dict[str, Any]) -> dict[str, Any]:
    """Those of SD 2.1 base, without their 5 GB."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    known = json.loads((ROOT / "benchmark" / "data" / "sd21_base.json").read_text())
    with torch.device("meta"):
        return {
            "unet": UNet2DConditionModel(**{**known["unet"], **unet}),
            "vae": AutoencoderKL(**known["vae"]),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**known["text_encoder"])),
        }


def header(network: Any, prefix: str = "") -> tuple[bytes, int]:
    """The beginning of its file in float32, and the file's size."""
    tensors, end = {}, 0
    for name, value in network.state_dict().items():
        start, end = end, end + 4 * value.numel()
        tensors[prefix + name] = Tensor("F32", tuple(value.shape), start, end)
    beginning = write_header(tensors, {"format": "pt"})
    return beginning, len(beginning) + end


@pytest.mark.parametrize(
    ("unet", "scheduler"),
    [
        ({}, {}),
        ({"sample_size": 96, "upcast_attention": True}, {"prediction_type": "v_prediction"}),
        ({}, {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"}),
    ],
    ids=["2.1 base", "2.1 at 768", "turbo"],
)
def test_the_real_models_are_whole(unet: dict[str, Any], scheduler: dict[str, Any]) -> None:
    files = {path: (WEIGHTS / path).read_bytes() for path in folder_sizes(WEIGHTS)}
    sizes = {path: len(content) for path, content in files.items()}

    def put(path: str, content: bytes, size: int | None = None) -> None:
        files[path], sizes[path] = content, size or len(content)

    for name, network in networks(unet).items():
        # As it is in files; since transformers 5 the module's own names have no beginning.
        own = next(iter(network.state_dict()))
        lacks = name == "text_encoder" and not own.startswith("text_model.")
        put(LAID_OUT[name], *header(network, "text_model." if lacks else ""))
        text = network.config.to_json_string() if lacks else network.to_json_string()
        put(CONFIGS[name], text.encode())
    noise = {**json.loads(files[SCHEDULER_CONFIG]), **scheduler}
    put(SCHEDULER_CONFIG, json.dumps(noise).encode())

    model = read_model("SD 2.1", sizes, lambda path: io.BytesIO(files[path]))
    tensors = [t for headers in model.weights.values() for h in headers.values() for t in h.tensors]
    assert len(tensors) == 686 + 248 + 372
