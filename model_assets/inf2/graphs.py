"""The four networks as the compiler gets them: tensors in, one tensor out, one fixed shape each.

Shapes, dtypes and compiler options are those of aws-neuron-samples
(hf_pretrained_sd2_512_inference) and aws-neuron-sdk (src/benchmark/pytorch/sd2_512_compile.py),
with one difference: the UNet takes its time step as float32. In bfloat16, as there, 999 becomes
1000, and above 512 only every fourth step can be told from its neighbours.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inf2.attention import use_neuron_attention
from sd_serving.config import Size
from sd_serving.diffusers_parts import PromptTokenizer, load_module

# Ids at random could be outside the vocabulary.
EXAMPLE_PROMPT = "a photo of an astronaut riding a horse on mars"

FAST_LOADING = "--enable-fast-loading-neuron-binaries"
UNET_INFERENCE = "--model-type=unet-inference"


@dataclass(frozen=True)
class Graph:
    """`network` in evaluation mode, and inputs of the only shapes and dtypes it will take."""

    network: nn.Module
    inputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Part:
    name: str
    """Its folder in the artifact."""
    build: Callable[[Path, Size, torch.dtype], Graph]
    """(weights folder, picture size, dtype of the networks that may be narrow) → graph"""
    options: tuple[str, ...]
    """The Neuron compiler's."""
    for_each_size: bool = True


class TextEncoderGraph(nn.Module):
    """ids [1, 77] → [1, 77, D]"""

    def __init__(self, text_encoder: Any) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(self, ids: Tensor) -> Tensor:
        embeds: Tensor = self.text_encoder(ids)[0]
        return embeds


class UnetGraph(nn.Module):
    """latents [1, C, h, w], time step [1], embeddings [1, 77, D] → predicted noise [1, C, h, w]"""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, latents: Tensor, t: Tensor, embeds: Tensor) -> Tensor:
        noise: Tensor = self.unet(latents, t, embeds, return_dict=False)[0]
        return noise


def _text_encoder(weights: Path, _size: Size, dtype: torch.dtype) -> Graph:
    encoder = _load(weights, "text_encoder", dtype)
    encoder.set_attn_implementation("eager")
    ids = PromptTokenizer(weights / "tokenizer").ids([EXAMPLE_PROMPT])
    return Graph(TextEncoderGraph(encoder), (ids,))


def _unet(weights: Path, size: Size, dtype: torch.dtype) -> Graph:
    unet = _load(weights, "unet", dtype)
    use_neuron_attention(unet)
    tokens = PromptTokenizer(weights / "tokenizer").max_length
    inputs = (
        _latents(weights, size, dtype),
        torch.tensor([999.0]),
        torch.zeros(1, tokens, unet.config.cross_attention_dim, dtype=dtype),
    )
    return Graph(UnetGraph(unet), inputs)


def _vae_decoder(weights: Path, size: Size, _dtype: torch.dtype) -> Graph:
    decoder = _load(weights, "vae", torch.float32).decoder
    use_neuron_attention(decoder)
    return Graph(decoder, (_latents(weights, size, torch.float32),))


def _vae_post_quant_conv(weights: Path, size: Size, _dtype: torch.dtype) -> Graph:
    vae = _load(weights, "vae", torch.float32)
    return Graph(vae.post_quant_conv, (_latents(weights, size, torch.float32),))


PARTS = (
    # Smallest first, so that each one's peak of memory shows over those before it.
    Part("vae_post_quant_conv", _vae_post_quant_conv, ()),
    Part("text_encoder", _text_encoder, (FAST_LOADING,), for_each_size=False),
    Part("vae_decoder", _vae_decoder, (UNET_INFERENCE, FAST_LOADING)),
    Part("unet", _unet, (UNET_INFERENCE, FAST_LOADING)),
)


def _load(weights: Path, name: str, dtype: torch.dtype) -> Any:
    return load_module(weights, name, dtype=dtype, device=torch.device("cpu"))


def _latents(weights: Path, size: Size, dtype: torch.dtype) -> Tensor:
    vae = json.loads((weights / "vae" / "config.json").read_bytes())
    scale = 2 ** (len(vae["block_out_channels"]) - 1)
    shape = (1, vae["latent_channels"], size[0] // scale, size[1] // scale)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
