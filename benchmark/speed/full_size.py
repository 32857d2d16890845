"""Weights of SD 2.1 base's size, random, for what depends on the size alone.

python -m benchmark.speed.full_size FOLDER
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.figures.flops import ARCHITECTURE
from sd_contract.manifest import WEIGHTS, Manifest

SMALL = Path(__file__).parents[2] / "model_assets" / "tiny" / "weights"
KEY = "full-size-random"


def make_full_size(folder: Path, architecture: Path = ARCHITECTURE, dtype: str = "float16") -> Path:
    """As the weight import would have stored it, 2.6 GB in float16; `folder` again. The small
    model's tokenizer and noise schedule, which is SD 2.1 base's."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    known = json.loads(architecture.read_bytes())
    torch.manual_seed(0)
    made: dict[str, Callable[[], Any]] = {
        "unet": lambda: UNet2DConditionModel(**known["unet"]),
        "vae": lambda: AutoencoderKL(**known["vae"]),
        "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(**known["text_encoder"])),
    }
    for name, make in made.items():
        make().to(getattr(torch, dtype)).save_pretrained(folder / name)
    for name in ("tokenizer", "scheduler"):
        shutil.copytree(SMALL / name, folder / name)
    shutil.copy(SMALL / "model_index.json", folder)
    Manifest.of(folder, KEY, WEIGHTS, {}).write(folder)
    return folder


@contextmanager
def small_model() -> Iterator[Path]:
    """The small one, as the import would have stored it."""
    with tempfile.TemporaryDirectory(prefix="sd-small-") as scratch:
        folder = Path(shutil.copytree(SMALL, Path(scratch) / "model"))
        Manifest.of(folder, "small", WEIGHTS, {}).write(folder)
        yield folder


if __name__ == "__main__":
    make_full_size(Path(sys.argv[1]))
