"""Loads Stable Diffusion for plain PyTorch. The request path is sd_serving's.

On a GPU float16, channels-last, PyTorch's scaled-dot-product attention (diffusers' default).
On a CPU float32 in the plain layout. Measured on one AVX-512 core: for the small model neither
bfloat16 nor channels-last changes the time by more than 5 %; SD 2.1 base's UNet runs 2.4 times as
fast in bfloat16 (1.4 s against 3.5 s for a guidance pair at 256x256), channels-last changes
nothing. Pictures differ by 51 dB between the two, so bfloat16 is there for the asking only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sd_serving.config import ServingConfig
from sd_serving.diffusers_parts import DiffusersParts, load_diffusers
from sd_serving.model_unusable import ModelUnusable
from sd_serving.weights import check_weights

if TYPE_CHECKING:
    import torch


def load(model_dir: Path, config: ServingConfig) -> DiffusersParts:
    """Raises ModelUnusable for an artifact or a device that isn't what was deployed for."""
    import torch

    check_weights(model_dir, config.artifact_key)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = device.type == "cuda"
    if on_gpu:
        # The same seed gives the same bytes, after a restart and on another instance too; the
        # fastest algorithm of the hour would not.
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
    parts = load_diffusers(
        model_dir,
        dtype=choose_dtype(config.dtype, device),
        device=device,
        max_images_per_pass=1,  # exact: an image of n is bit for bit the one made alone
        channels_last=on_gpu,
    )
    if config.torch_compile:
        parts.unet = torch.compile(parts.unet)
    return parts


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """float16 on a GPU. float32 on a CPU, where it is the reference the other variants are held
    against.

    Raises ModelUnusable for float16 on a CPU: it means a GPU was expected, and its driver or the
    instance type is wrong. Serving on, a hundred times slower, would hide that.
    """
    import torch

    if name == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if name == "float16" and device.type == "cpu":
        raise ModelUnusable("SD_DTYPE=float16 needs a GPU, and PyTorch sees none")
    dtype: torch.dtype = getattr(torch, name)
    return dtype
