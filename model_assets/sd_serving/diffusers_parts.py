"""Loads a diffusers folder (SD 2.x layout, safetensors) as the engine's Parts.

The plain PyTorch variant serves these as they are, DeepSpeed rewrites their modules, and the
Inferentia compile takes them as the truth its own output is compared with. Works with diffusers
0.16.0 to 0.42 and transformers 4.39 to 5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_contract.model_layout import SCHEDULER_CONFIG, WEIGHTS
from sd_serving.config import Size
from sd_serving.errors import ModelUnusable

if TYPE_CHECKING:
    import torch

SAMPLER: Mapping[str, Any] = {
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "lower_order_final": True,
    # What diffusers 0.16 does, where these two aren't options yet; later defaults differ.
    "final_sigmas_type": "sigma_min",
    "timestep_spacing": "linspace",
}


class PromptTokenizer:
    """CLIP's tokenizer from `<folder>`, as the pipeline of diffusers applies it."""

    def __init__(self, folder: Path) -> None:
        from transformers import CLIPTokenizer

        self._tokenizer: Any = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
        self.max_length: int = self._tokenizer.model_max_length

    def ids(self, prompts: list[str]) -> torch.Tensor:
        """[B] → int64 [B, max_length], padded, or cut where the prompt is longer."""
        import torch

        rows = self._tokenizer(
            prompts, padding="max_length", max_length=self.max_length, truncation=True
        ).input_ids
        return torch.tensor(rows, dtype=torch.int64)

    def count(self, prompt: str) -> int:
        # verbose=False: longer than max_length is an answer here, not something to warn about.
        return len(self._tokenizer(prompt, verbose=False).input_ids)


class SchedulerFactory:
    """DPM-Solver++ (2M) with the noise schedule of a `scheduler_config.json`, whichever sampler
    that file names."""

    def __init__(self, path: Path) -> None:
        self._config = json.loads(path.read_bytes())

    def __call__(self) -> Any:
        from diffusers import DPMSolverMultistepScheduler

        return DPMSolverMultistepScheduler.from_config(self._config, **SAMPLER)


@dataclass
class DiffusersParts:
    """Parts of a model that PyTorch runs itself. The modules are public and replaceable: a loader
    may compile them or hand them to another runtime before the engine sees them."""

    tokenizer: PromptTokenizer
    text_encoder: Any
    unet: Any
    vae: Any
    make_scheduler: SchedulerFactory
    latent_channels: int
    vae_scale: int
    scaling_factor: float
    device: torch.device
    dtype: torch.dtype
    max_images_per_pass: int | None
    """1 is exact: each picture is, bit for bit, the one made alone. More is faster on a GPU that
    one guidance pair doesn't fill, and equal only within the kernels' rounding."""
    channels_last: bool = False

    sizes: tuple[Size, ...] | None = None

    @property
    def tokenizer_max_length(self) -> int:
        return self.tokenizer.max_length

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def count_tokens(self, prompt: str) -> int:
        return self.tokenizer.count(prompt)

    def encode(self, prompts: list[str]) -> torch.Tensor:
        embeds: torch.Tensor = self.text_encoder(self.tokenizer.ids(prompts).to(self.device))[0]
        return embeds

    def denoise(self, latents: torch.Tensor, t: int, embeds: torch.Tensor) -> torch.Tensor:
        import torch

        noise: torch.Tensor = self.unet(
            self._image_input(latents),
            # As a tensor made on the device: a number would make a compiled UNet compile anew for
            # each timestep, and a GPU wait for its copy.
            torch.full((1,), t, dtype=torch.int64, device=self.device),
            encoder_hidden_states=embeds.to(self.dtype),
            return_dict=False,
        )[0]
        return noise

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        image: torch.Tensor = self.vae.decode(self._image_input(latents), return_dict=False)[0]
        return image

    def describe(self) -> dict[str, Any]:
        return {}

    def _image_input(self, values: torch.Tensor) -> torch.Tensor:
        import torch

        values = values.to(self.dtype)
        if self.channels_last:
            values = values.contiguous(memory_format=torch.channels_last)
        return values


def load_module(
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


def load_diffusers(
    model_dir: Path,
    *,
    dtype: torch.dtype,
    device: torch.device,
    max_images_per_pass: int | None = 1,
    channels_last: bool = False,
) -> DiffusersParts:
    """The model in `model_dir`, in evaluation mode, whatever dtype its files have (float16 weights
    become float32 exactly). Reads nothing but that folder, laid out as the import does it.

    Raises ModelUnusable that names a file which can't be loaded, or the first weights it lacks.
    """
    text_encoder, unet, vae = (
        load_module(model_dir, part, dtype=dtype, device=device, channels_last=channels_last)
        for part in ("text_encoder", "unet", "vae")
    )
    return DiffusersParts(
        tokenizer=PromptTokenizer(model_dir / "tokenizer"),
        text_encoder=text_encoder,
        unet=unet,
        vae=vae,
        make_scheduler=SchedulerFactory(model_dir / SCHEDULER_CONFIG),
        latent_channels=int(unet.config.in_channels),
        vae_scale=int(2 ** (len(vae.config.block_out_channels) - 1)),
        scaling_factor=float(vae.config.scaling_factor),
        device=device,
        dtype=dtype,
        max_images_per_pass=max_images_per_pass,
        channels_last=channels_last,
    )
