"""Loads Stable Diffusion for plain PyTorch. The request path is sd_serving's.

On a GPU float16, channels-last, PyTorch's scaled-dot-product attention (diffusers' default).
On a CPU float32 in the plain layout, on packed weights (`sd_serving/packed_weights.py`). Measured
on one AVX-512 core, before there were packed weights: for the small model neither bfloat16 nor
channels-last changes the time by more than 5 %; SD 2.1 base's UNet ran 2.4 times as fast in
bfloat16 (1.4 s against 3.5 s for a guidance pair at 256x256), channels-last changed nothing.
Pictures differ by 51 dB between the two, so bfloat16 is there for the asking only.
"""

from __future__ import annotations

from pathlib import Path

from sd_serving.config import ServingConfig
from sd_serving.diffusers_parts import DiffusersParts, choose_dtype, load_diffusers
from sd_serving.weights import check_weights


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
    return load_diffusers(
        model_dir,
        dtype=choose_dtype(config.dtype, device),
        device=device,
        max_pictures_per_pass=config.batching.max_size,
        channels_last=on_gpu,
        packed=True,
    )
