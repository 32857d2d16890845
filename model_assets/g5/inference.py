"""Loads Stable Diffusion for plain PyTorch. The request path is sd_serving's.

On a GPU float16 and PyTorch's scaled-dot-product attention (diffusers' default), with the levers
that the deploy names (`options.py`).
On a CPU float32 in the plain layout, on packed weights (`sd_serving/packed_weights.py`). Measured
on one AVX-512 core, before there were packed weights: for the small model neither bfloat16 nor
channels-last changes the time by more than 5 %; SD 2.1 base's UNet ran 2.4 times as fast in
bfloat16 (1.4 s against 3.5 s for a guidance pair at 256x256), channels-last changed nothing.
Pictures differ by 51 dB between the two, so bfloat16 is there for the asking only.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from g5.levers import with_cuda_graphs, with_torch_compile
from g5.options import ON_GPU_ALONE, SAME, DiffusersOptions
from sd_contract.size import Size
from sd_serving.config import ServingConfig
from sd_serving.diffusers_parts import DiffusersParts, choose_dtype, load_diffusers
from sd_serving.model_unusable import ModelUnusable
from sd_serving.weights import check_weights

if TYPE_CHECKING:
    import torch


def load(model_dir: Path, config: ServingConfig) -> DiffusersParts:
    """Raises ModelUnusable for an artifact or a device that isn't what was deployed for, and
    ConfigError."""
    import torch

    options = DiffusersOptions.from_env(os.environ)
    check_weights(model_dir, config.artifact_key)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = choose_dtype(config.dtype, device)
    return load_with(
        model_dir,
        options,
        dtype=dtype,
        device=device,
        sizes=config.sizes,
        max_pictures_per_pass=config.batching.max_size,
    )


def load_with(
    model_dir: Path,
    options: DiffusersOptions,
    *,
    dtype: torch.dtype,
    device: torch.device,
    sizes: Sequence[Size],
    max_pictures_per_pass: int = 1,
) -> DiffusersParts:
    """Exact with one picture a pass: an image of n is bit for bit the one made alone."""
    import torch

    lacking = [name for name in options.levers if name in ON_GPU_ALONE]
    if lacking and device.type != "cuda":
        raise ModelUnusable(f"SD_LEVERS={','.join(lacking)} needs a GPU, and PyTorch sees none")
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = options.cudnn_benchmark
        torch.backends.cudnn.deterministic = not options.cudnn_benchmark
    same = options.vae_dtype == SAME
    parts = load_diffusers(
        model_dir,
        dtype=dtype,
        device=device,
        max_pictures_per_pass=max_pictures_per_pass,
        channels_last=options.channels_last,
        fused_qkv=options.fused_qkv,
        vae_dtype=None if same else choose_dtype(options.vae_dtype, device, "SD_VAE_DTYPE"),
        packed=not options.torch_compile,  # what is packed can't be traced
    )
    if options.torch_compile:
        with_torch_compile(parts, sizes)
    if options.cuda_graphs:
        with_cuda_graphs(parts, sizes)
    if options.levers:
        parts.description = {"levers": options.levers}
    return parts
