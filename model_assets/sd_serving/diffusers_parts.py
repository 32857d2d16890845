"""Loads a diffusers folder (SD 2.x layout, safetensors) as the engine's Parts.

The plain PyTorch variant serves these as they are, DeepSpeed rewrites their modules, and the
Inferentia compile takes them as the truth its own output is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_serving.deep_cache import DeepHalf
from sd_serving.loaded_parts import LoadedParts, read_common
from sd_serving.model_unusable import ModelUnusable
from sd_serving.networks import load_network
from sd_serving.packed_weights import can_pack, pack

if TYPE_CHECKING:
    import torch


@dataclass
class DiffusersParts(LoadedParts):
    """Parts of a model that PyTorch runs itself. The modules are public and replaceable: a loader
    may compile them or hand them to another runtime before the engine sees them."""

    text_encoder: Any
    unet: Any
    vae: Any
    max_pictures_per_pass: int | None
    """1 is exact: each picture is, bit for bit, the one made alone. More is faster on a GPU that
    one guidance pair doesn't fill, and equal only within the kernels' rounding."""
    channels_last: bool = False
    keeps_deep_half: bool = True
    """Not where something else than the module itself runs the UNet."""
    vae_dtype: torch.dtype | None = None
    """Where it isn't `dtype`."""

    def encode(self, prompts: list[str]) -> torch.Tensor:
        embeds: torch.Tensor = self.text_encoder(self.tokenizer.ids(prompts).to(self.device))[0]
        return embeds

    def denoise(
        self, latents: torch.Tensor, t: int, embeds: torch.Tensor, deep: DeepHalf | None = None
    ) -> torch.Tensor:
        import torch

        sample, embeds = self._image_input(latents, self.dtype), embeds.to(self.dtype)
        # As a tensor made on the device: a GPU would wait for a number's copy.
        time = torch.full((1,), t, dtype=torch.int64, device=self.device)
        if deep:
            return deep.denoise(self.unet, sample, time, embeds)
        noise: torch.Tensor = self.unet(
            sample, time, encoder_hidden_states=embeds, return_dict=False
        )[0]
        return noise

    def encode_pictures(self, pixels: torch.Tensor) -> torch.Tensor:
        """The mode of the latents' distribution, where the pipelines of diffusers draw from it.
        Nothing is then drawn but the noise, from the same place of the seed's generator as for a
        generation, and at strength 0 the picture is the nearest that the VAE has."""
        (posterior,) = self.vae.encode(self._vae_input(pixels), return_dict=False)
        latents: torch.Tensor = posterior.mode()
        return latents

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        image: torch.Tensor = self.vae.decode(self._vae_input(latents), return_dict=False)[0]
        return image

    def _vae_input(self, values: torch.Tensor) -> torch.Tensor:
        return self._image_input(values, self.vae_dtype or self.dtype)

    def _image_input(self, values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        import torch

        values = values.to(dtype)
        if self.channels_last:
            values = values.contiguous(memory_format=torch.channels_last)
        return values


def choose_dtype(name: str, device: torch.device, variable: str = "SD_DTYPE") -> torch.dtype:
    """float16 on a GPU. float32 on a CPU, where it is the reference the other variants are held
    against.

    Raises ModelUnusable for float16 on a CPU: it means a GPU was expected, and its driver or the
    instance type is wrong. Serving on, a hundred times slower, would hide that.
    """
    import torch

    if name == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if name == "float16" and device.type == "cpu":
        raise ModelUnusable(f"{variable}=float16 needs a GPU, and PyTorch sees none")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def load_diffusers(
    model_dir: Path,
    *,
    dtype: torch.dtype,
    device: torch.device,
    max_pictures_per_pass: int | None = 1,
    channels_last: bool = False,
    fused_qkv: bool = False,
    vae_dtype: torch.dtype | None = None,
    packed: bool = False,
) -> DiffusersParts:
    """The model in `model_dir`, in evaluation mode, whatever dtype its files have (float16 weights
    become float32 exactly). Reads nothing but that folder, laid out as the import does it.
    `vae_dtype` is `dtype` without. `packed`: for who serves it, where `can_pack`; see there.

    Raises ModelUnusable that names a file which can't be loaded, or the first weights it lacks.
    """
    networks = {"text_encoder": dtype, "unet": dtype, "vae": vae_dtype or dtype}
    text_encoder, unet, vae = (
        load_network(model_dir, part, dtype=each, device=device, channels_last=channels_last)
        for part, each in networks.items()
    )
    if fused_qkv:
        fuse_qkv(unet)
    for network, each in zip((text_encoder, unet, vae), networks.values(), strict=True):
        if packed and can_pack(device, each):
            pack(network)
    return DiffusersParts(
        **read_common(model_dir),
        text_encoder=text_encoder,
        unet=unet,
        vae=vae,
        device=device,
        dtype=dtype,
        max_pictures_per_pass=max_pictures_per_pass,
        channels_last=channels_last,
        vae_dtype=vae_dtype,
    )


def fuse_qkv(unet: Any) -> None:
    """In place: an attention's projections of the same values become one, and nothing is held
    twice. Raises ModelUnusable for a diffusers without."""
    if not hasattr(unet, "fuse_qkv_projections"):
        raise ModelUnusable(f"diffusers {version('diffusers')} can't fuse the UNet's projections")
    unet.fuse_qkv_projections()
    for module in unet.modules():
        if getattr(module, "fused_projections", False):
            # diffusers keeps them, to take it back.
            parted = ("to_k", "to_v") if module.is_cross_attention else ("to_q", "to_k", "to_v")
            for name in parted:
                delattr(module, name)
    unet.requires_grad_(False)
