from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inf2.attention import use_neuron_attention
from inf2.graphs.graph import Graph, load
from sd_contract.size import Size


class VaeEncoderGraph(nn.Module):
    """pixels [1, 3, H, W] in [-1, 1] → the most likely latents [1, C, h, w]"""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.encoder, self.quant_conv = vae.encoder, vae.quant_conv

    def forward(self, pixels: Tensor) -> Tensor:
        mean, _ = self.quant_conv(self.encoder(pixels)).chunk(2, dim=1)
        latents: Tensor = mean
        return latents


def build(weights: Path, size: Size, dtype: torch.dtype) -> Graph:
    """With quant_conv, one convolution of one pixel, in the same graph."""
    vae = load(weights, "vae", dtype)
    use_neuron_attention(vae.encoder)
    shape = (1, 3, size.height, size.width)
    pixels = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Graph(VaeEncoderGraph(vae), (pixels.to(dtype),))
