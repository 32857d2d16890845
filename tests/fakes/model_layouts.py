"""The small model as other programs lay it out, and what the import makes of that."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from sd_contract.model_layout import SCHEDULER_CONFIG
from sd_serving.diffusers_parts import DiffusersParts, load_diffusers
from stacks.build_scripts.import_weights import Folder, WeightsJob, import_weights
from stacks.build_scripts.upload import Store
from tests.fakes.serving import WEIGHTS

KEY = "k" * 64


def pipeline_of(parts: DiffusersParts, scheduler: Any) -> Any:
    """Of diffusers."""
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer._tokenizer,
        unet=parts.unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def saved_by_diffusers(folder: Path, **options: Any) -> None:
    """By the newest diffusers and transformers: tokenizer.json alone, the VAE's attention by its
    new names, null components and many more settings in each config.json."""
    from diffusers import PNDMScheduler

    parts = load_diffusers(WEIGHTS, dtype=torch.float16, device=torch.device("cpu"))
    scheduler = PNDMScheduler.from_pretrained(str(WEIGHTS / "scheduler"))
    pipeline_of(parts, scheduler).save_pretrained(folder, **options)


def in_the_hub_s_cache(folder: Path) -> None:
    """Links into blobs/, and a component whose folder is a link."""
    for path in sorted(path for path in WEIGHTS.rglob("*") if path.is_file()):
        name = path.relative_to(WEIGHTS)
        target = (folder.parent / "shared" if name.parts[0] == "vae" else folder) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    (folder / "vae").symlink_to(folder.parent / "shared" / "vae")


def without_a_framework(folder: Path) -> None:
    """As programs write safetensors that don't go through the libraries: no word of PyTorch, and
    the text encoder's tensors by the module's own names in transformers 5."""
    in_the_hub_s_cache(folder)
    for path in sorted(folder.rglob("*.safetensors")):
        state = {name.removeprefix("text_model."): value for name, value in load_file(path).items()}
        path.unlink()
        save_file(state, path)


# As the repositories' own scheduler_config.json have them, besides the betas.
V_PREDICTION_768 = {"_class_name": "DDIMScheduler", "clip_sample": False,
                    "prediction_type": "v_prediction"}  # fmt: skip
TURBO = {"_class_name": "EulerDiscreteScheduler", "clip_sample": False, "sample_max_value": 1.0,
         "interpolation_type": "linear", "timestep_spacing": "trailing",
         "timestep_type": "discrete", "use_karras_sigmas": False}  # fmt: skip


def with_scheduler(folder: Path, **config: object) -> Path:
    """The small model with a noise schedule that it wasn't trained for."""
    shutil.copytree(WEIGHTS, folder)
    path = folder / SCHEDULER_CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder


def scheduler_of_diffusers(folder: Path = WEIGHTS) -> Any:
    """What steps there as linspace does here."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler.from_config(
        json.loads((folder / SCHEDULER_CONFIG).read_bytes()),
        algorithm_type="dpmsolver++",
        solver_order=2,
        lower_order_final=True,
        final_sigmas_type="sigma_min",
        timestep_spacing="linspace",
    )


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "newest": saved_by_diffusers,
    "fp16": lambda folder: saved_by_diffusers(folder, variant="fp16"),
    "shards": lambda folder: saved_by_diffusers(folder, max_shard_size="3MB"),
    "fp16 shards": lambda folder: saved_by_diffusers(folder, variant="fp16", max_shard_size="3MB"),
    "links": in_the_hub_s_cache,
    "no framework": without_a_framework,
}


class _FolderS3:
    """Stores objects as files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list_objects_v2(self, **_: str) -> dict[str, Any]:
        return {}

    def upload_fileobj(self, body: Any, bucket: str, key: str, **_: object) -> None:
        pieces = iter(lambda: body.read(1 << 18), b"")
        self.put_object(Bucket=bucket, Key=key, Body=b"".join(pieces))

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **_: str) -> None:
        target = self.root / Bucket / Key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Body)


def imported(source: Path, root: Path) -> Path:
    """The folder that a container gets."""
    job = WeightsJob(KEY, str(source), "m", "r", "l", "models", f"weights/{KEY}/")
    store = Store(_FolderS3(root), job.bucket, job.prefix, lambda _: None)
    import_weights(job, Folder(source), store)
    return root / "models" / "weights" / KEY
