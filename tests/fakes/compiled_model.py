"""The small model compiled for the double, once for all tests of a run in each dtype."""

from __future__ import annotations

import atexit
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from inf2.compile import CompileJob, compile_model
from inf2.parity import PROMPTS, STEPS
from inf2.parts import PARTS
from sd_contract.sampling import Sampling
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from tests.fakes.serving import WEIGHTS

SIZES = (Size(64, 64), Size(128, 64))
KEY = "key-of-the-compiled-model"
PART_KEYS = {part.name: f"key of {part.name}" for part in PARTS}
SDK = "2.26.0"


def job(folder: Path, **changes: Any) -> CompileJob:
    """Two steps and two pictures a size are enough to tell right from wrong."""
    values: dict[str, Any] = {
        "weights": WEIGHTS,
        "out": folder / "out",
        "checkpoints": folder / "checkpoints",
        "key": KEY,
        "part_keys": PART_KEYS,
        "weights_key": "",
        "sizes": SIZES[:1],
        "backend": "torchscript",
        "on_cpu": False,
        "sdk": SDK,
        "dtype": "float32",
        "parity_db": None,
        "parity_steps": 2,
        "parity_pictures": 2,
    }
    return CompileJob(**{**values, **changes})


@cache
def artifact(**changes: Any) -> Path:
    """Don't write to it: `shutil.copytree` first."""
    folder = tempfile.TemporaryDirectory(prefix="sd-inf2-")
    atexit.register(folder.cleanup)
    compile_model(job(Path(folder.name), **{"sizes": SIZES, **changes}))
    return Path(folder.name) / "out"


def in_bfloat16() -> Path:
    """With the parity gate's own pictures: of fewer, rounding may make one another picture."""
    return artifact(dtype="bfloat16", parity_steps=STEPS, parity_pictures=len(PROMPTS))


def config(**changes: Any) -> ServingConfig:
    values: dict[str, Any] = {
        "variant": "inf2",
        "artifact_key": KEY,
        "sizes": SIZES,
        "modes": {"standard": Sampling(2), "fast": Sampling(2, "karras")},
        "default_guidance_scale": 4.0,
        "dtype": "auto",
        "neuron_sdk": SDK,
        "compile_backend": "torchscript",
    }
    return ServingConfig(**{**values, **changes})
