from __future__ import annotations

from pathlib import Path

import torch

from inf2.attention import use_neuron_attention
from inf2.graphs.graph import Graph, latents, load
from sd_contract.size import Size


def build(weights: Path, size: Size, dtype: torch.dtype) -> Graph:
    """latents [1, C, h, w], out of vae_post_quant_conv → [1, 3, H, W]"""
    decoder = load(weights, "vae", dtype).decoder
    use_neuron_attention(decoder)
    return Graph(decoder, (latents(weights, size, dtype),))
