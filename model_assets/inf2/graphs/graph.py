"""Tensors in, one tensor out, one fixed shape each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sd_contract.model_layout import LATENT_CHANNELS
from sd_contract.size import Size
from sd_serving.networks import load_network


@dataclass(frozen=True)
class Graph:
    """`network` in evaluation mode, and inputs of the only shapes and dtypes it will take."""

    network: nn.Module
    inputs: tuple[Tensor, ...]


def load(weights: Path, name: str, dtype: torch.dtype) -> Any:
    return load_network(weights, name, dtype=dtype, device=torch.device("cpu"))


def latents(weights: Path, size: Size, dtype: torch.dtype) -> Tensor:
    vae = json.loads((weights / "vae" / "config.json").read_bytes())
    scale = 2 ** (len(vae["block_out_channels"]) - 1)
    channels = vae.get("latent_channels", LATENT_CHANNELS)
    shape = (1, channels, size.height // scale, size.width // scale)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
