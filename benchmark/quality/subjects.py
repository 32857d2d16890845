"""What can be measured: the small model, whose pictures say themselves whether they are right, or
a folder of real weights, whose pictures a CLIP and an LPIPS model judge where they are given."""

import io
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.options import QualityOptions
from benchmark.prompts import HELD_OUT, load_prompts
from benchmark.quality.measure import Likeness, Subject
from benchmark.report.quality import clip_scorer, drawn_right
from sd_contract.size import Size
from sd_serving.diffusers_parts import DiffusersParts, choose_dtype, load_diffusers
from sd_serving.model_unusable import ModelUnusable

SMALL_BATCH = 20
REAL_GUIDANCE = 7.5
REAL_SIZE = (512, 512)


def subject_of(options: QualityOptions) -> Subject:
    """Raises BenchmarkError."""
    return _real(options, options.model) if options.model else _small(options)


def statement(subject: Subject, model: str) -> str:
    """Under what conditions its figures are got."""
    parts, size = subject.parts, subject.size
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers"))
    return (
        f"{model}, {size.width}x{size.height}, {len(subject.cases)} prompts, guidance "
        f"{subject.guidance_scale:g}, {parts.dtype_name} on {parts.device.type}, {libraries}"
    )


def _small(options: QualityOptions) -> Subject:
    from model_assets.tiny.sampling import GUIDANCE_SCALE, SIZE
    from model_assets.tiny.tokenizer import WEIGHTS

    return Subject(
        folder=WEIGHTS,
        parts=_loaded(WEIGHTS, "float32", "cpu"),
        size=SIZE,
        guidance_scale=options.guidance or GUIDANCE_SCALE,
        cases=load_prompts(HELD_OUT).prompts[: options.prompts],
        batch=options.batch or SMALL_BATCH,
        score=drawn_right,
    )


def _real(options: QualityOptions, folder: Path) -> Subject:
    import torch

    return Subject(
        folder=folder,
        parts=_loaded(folder, "auto", "cuda" if torch.cuda.is_available() else "cpu"),
        size=Size(*(options.size or REAL_SIZE)),
        guidance_scale=options.guidance or REAL_GUIDANCE,
        cases=load_prompts(options.prompt_set).prompts[: options.prompts],
        batch=options.batch or 1,
        score=clip_scorer(options.clip_weights) if options.clip_weights else None,
        distance=lpips_distance() if options.lpips else None,
    )


def _loaded(folder: Path, dtype: str, device_name: str) -> DiffusersParts:
    import torch

    device = torch.device(device_name)
    try:
        return load_diffusers(
            folder,
            dtype=choose_dtype(dtype, device),
            device=device,
            max_pictures_per_pass=None,
            channels_last=device.type == "cuda",
        )
    except (ModelUnusable, OSError) as error:
        raise BenchmarkError(f"--model {folder}: {error}") from error


def lpips_distance() -> Likeness:
    """LPIPS by AlexNet (Zhang et al. 2018), as its authors' package measures it; the network's
    weights come from PyTorch's hub the first time. Raises BenchmarkError."""
    try:
        from lpips import LPIPS
    except ImportError as error:
        raise BenchmarkError(
            f"--lpips: {error}; pip install -r benchmark/requirements-quality.txt"
        ) from error
    return lpips_by(LPIPS(net="alex", verbose=False).eval())


def lpips_by(model: Any) -> Likeness:
    """`model`: two [1, 3, H, W] in [-1, 1] → their distance."""
    import numpy as np
    import torch
    from PIL import Image

    def pixels(png: bytes) -> torch.Tensor:
        values = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.float32)
        return torch.from_numpy(values / 127.5 - 1).permute(2, 0, 1)[None]

    def distance(one: bytes, other: bytes) -> float:
        with torch.inference_mode():
            return float(model(pixels(one), pixels(other)))

    return distance
