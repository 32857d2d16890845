from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inf2.graphs.graph import Graph, load
from sd_contract.size import Size
from sd_serving.tokenizer import PromptTokenizer

# Ids at random could be outside the vocabulary.
EXAMPLE_PROMPT = "a photo of an astronaut riding a horse on mars"


class TextEncoderGraph(nn.Module):
    """ids [1, 77] → [1, 77, D]"""

    def __init__(self, text_encoder: Any) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(self, ids: Tensor) -> Tensor:
        embeds: Tensor = self.text_encoder(ids)[0]
        return embeds


def build(weights: Path, _size: Size, dtype: torch.dtype) -> Graph:
    encoder = load(weights, "text_encoder", dtype)
    encoder.set_attn_implementation("eager")
    ids = PromptTokenizer(weights / "tokenizer").ids([EXAMPLE_PROMPT])
    return Graph(TextEncoderGraph(encoder), (ids,))
