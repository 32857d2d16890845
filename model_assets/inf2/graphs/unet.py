from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inf2.attention import use_neuron_attention
from inf2.graphs.graph import Graph, latents, load
from sd_contract.size import Size
from sd_serving.tokenizer import PromptTokenizer


class UnetGraph(nn.Module):
    """latents [1, C, h, w], time step [1], embeddings [1, 77, D] → predicted noise [1, C, h, w]"""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, latents: Tensor, t: Tensor, embeds: Tensor) -> Tensor:
        noise: Tensor = self.unet(latents, t, embeds, return_dict=False)[0]
        return noise


def build(weights: Path, size: Size, dtype: torch.dtype) -> Graph:
    """Takes its time step as float32, unlike the recipe: in bfloat16 999 becomes 1000, and above
    512 only every fourth step can be told from its neighbours."""
    unet = load(weights, "unet", dtype)
    use_neuron_attention(unet)
    tokens = PromptTokenizer(weights / "tokenizer").max_length
    inputs = (
        latents(weights, size, dtype),
        torch.tensor([999.0]),
        torch.zeros(1, tokens, unet.config.cross_attention_dim, dtype=dtype),
    )
    return Graph(UnetGraph(unet), inputs)
