from __future__ import annotations

from pathlib import Path

import torch

from inf2.graphs.graph import Graph, latents, load
from sd_contract.size import Size


def build(weights: Path, size: Size, dtype: torch.dtype) -> Graph:
    """latents [1, C, h, w] → [1, C, h, w]"""
    vae = load(weights, "vae", dtype)
    return Graph(vae.post_quant_conv, (latents(weights, size, dtype),))
