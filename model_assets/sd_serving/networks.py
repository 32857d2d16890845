"""Loads one network of a diffusers folder (SD 2.x layout, safetensors).

Works with diffusers 0.16.0 to 0.42 and transformers 4.39 to 5.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_contract.model_layout import WEIGHTS
from sd_serving.model_unusable import ModelUnusable

if TYPE_CHECKING:
    import torch


def load_network(
    model_dir: Path,
    part: str,
    *,
    dtype: torch.dtype,
    device: torch.device,
    channels_last: bool = False,
) -> Any:
    """One network of a diffusers folder, `part` being "text_encoder", "unet" or "vae", in
    evaluation mode. Alone, for who can't hold all three in memory.

    Raises ModelUnusable that names the first weights the file lacks: the libraries would fill those
    with random numbers and carry on.
    """
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # a log has no use for it

    # Renamed in transformers 4.56, and the old name warns in 5.
    clip_dtype_key = "dtype" if int(version("transformers").split(".")[0]) >= 5 else "torch_dtype"
    weights = WEIGHTS[part]
    loader, dtype_key = {
        "text_encoder": (CLIPTextModel, clip_dtype_key),
        "unet": (UNet2DConditionModel, "torch_dtype"),
        "vae": (AutoencoderKL, "torch_dtype"),
    }[part]
    try:
        loaded, info = loader.from_pretrained(
            str(model_dir / part),
            local_files_only=True,
            output_loading_info=True,
            **{dtype_key: dtype},
        )
    except Exception as error:  # the libraries raise whatever they like
        raise ModelUnusable(f"{weights} can't be loaded: {error}") from error
    # A buffer that older files carry or lack, filled with 0 … 76 by every version.
    lacking = [key for key in info["missing_keys"] if not key.endswith("position_ids")]
    if lacking:
        raise ModelUnusable(
            f"{weights} lacks {len(lacking)} of the weights its config.json asks for; the first is "
            f"{min(lacking)}"
        )
    loaded = loaded.eval().requires_grad_(False).to(device)
    return loaded.to(memory_format=torch.channels_last) if channels_last else loaded
