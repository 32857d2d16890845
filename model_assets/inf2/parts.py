"""The model's parts, each a graph or one for each size. Without torch: the stacks read it too.

Shapes, dtypes and compiler options are those of aws-neuron-samples
(hf_pretrained_sd2_512_inference; the VAE encoder's, which that one lacks,
hf_pretrained_sd2_inpainting_936_624_inference) and aws-neuron-sdk
(src/benchmark/pytorch/sd2_512_compile.py).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sd_contract.size import Size

if TYPE_CHECKING:
    from inf2.graphs.graph import Graph

FAST_LOADING = "--enable-fast-loading-neuron-binaries"
UNET_INFERENCE = "--model-type=unet-inference"


@dataclass(frozen=True)
class Part:
    name: str
    """Its folder in the artifact."""
    options: tuple[str, ...]
    """The Neuron compiler's."""
    for_each_size: bool = True
    narrow: bool = True
    """Whether it may be in a dtype other than float32."""

    @property
    def module(self) -> str:
        """Has `build`."""
        return f"inf2.graphs.{self.name}"

    def dtype(self, narrow: str) -> str:
        """Where those that may be narrow are in `narrow`."""
        return narrow if self.narrow else "float32"

    def build(self, weights: Path, size: Size, narrow: str) -> Graph:
        """From a weights folder."""
        import torch

        dtype = getattr(torch, self.dtype(narrow))
        graph: Graph = importlib.import_module(self.module).build(weights, size, dtype)
        return graph


PARTS = (
    # Smallest first, so that each one's peak of memory shows over those before it.
    Part("vae_post_quant_conv", (), narrow=False),
    Part("text_encoder", (FAST_LOADING,), for_each_size=False),
    Part("vae_encoder", (UNET_INFERENCE, FAST_LOADING), narrow=False),
    Part("vae_decoder", (UNET_INFERENCE, FAST_LOADING), narrow=False),
    Part("unet", (UNET_INFERENCE, FAST_LOADING)),
)
