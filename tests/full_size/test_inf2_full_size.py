"""SD 2.1 base's real configuration with random weights, compiled at 512×512 with the double.

    pytest -m full_size -s tests/full_size

Opt-in: it takes 11 GB of disk, 8 GB of memory and some minutes of a core. What it shows is that
nothing of the compile depends on the small model's size; the pictures are noise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from stacks.settings import ROOT
from tests.fakes.compiled_model import PART_KEYS
from tests.fakes.serving import WEIGHTS as SMALL

SIZE = "512x512"
# From the model's own config.json files.
CONFIGURATIONS = ROOT / "benchmark" / "data" / "sd21_base.json"
# In a process of its own, so that what it holds is not the compile's.
MAKE_WEIGHTS = """
import json, shutil, sys
from pathlib import Path
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

small, folder = Path(sys.argv[1]), Path(sys.argv[2])
known = json.loads(Path(sys.argv[3]).read_bytes())
torch.manual_seed(0)
UNet2DConditionModel(**known["unet"]).save_pretrained(folder / "unet")
AutoencoderKL(**known["vae"]).save_pretrained(folder / "vae")
CLIPTextModel(CLIPTextConfig(**known["text_encoder"])).save_pretrained(folder / "text_encoder")
for name in ("tokenizer", "scheduler"):
    shutil.copytree(small / name, folder / name)
"""


@pytest.mark.full_size
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_compiles_at_the_real_size(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    # pytest would keep its own temporary folders: 10 GB each time.
    with tempfile.TemporaryDirectory(prefix="sd-full-size-") as folder, capsys.disabled():
        compile_in(Path(folder), dtype)


def compile_in(folder: Path, dtype: str) -> None:
    weights, out = folder / "weights", folder / "out"
    subprocess.run(
        [sys.executable, "-c", MAKE_WEIGHTS, str(SMALL), str(weights), str(CONFIGURATIONS)],
        check=True,
    )
    flags = {
        "weights": weights,
        "out": out,
        "checkpoints": folder / "checkpoints",
        "key": "full-size",
        "part-keys": json.dumps(PART_KEYS),
        "sizes": SIZE,
        "backend": "torchscript",
        "sdk": "2.26.0",
        "dtype": dtype,
        # Enough to run every graph: two rows of the UNet for each of two steps.
        "parity-steps": 2,
        "parity-pictures": 1,
    }
    arguments = [f"--{name}={value}" for name, value in flags.items()]
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "inf2.compile", *arguments], cwd=ROOT / "model_assets", check=True
    )
    seconds = time.perf_counter() - started
    document = json.loads((out / "manifest.json").read_bytes())
    for part in document["parts"]:
        print(f"{part['path']}: {part['seconds']} s, peak so far {part['peak_rss_gib']} GiB")
    print(f"{dtype}: in all {seconds:.0f} s, peak {document['peak_rss_gib']} GiB")
    print(json.dumps(document["quality"]))
    assert document["files"][f"unet/{SIZE}/model.pt"]["size"] > (3e9 if dtype == "float32" else 1e9)
    assert document["parity"]["status"] == "passed"
