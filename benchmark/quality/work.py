"""The UNet's counted arithmetic: a whole row's, and one of its outermost layer alone."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from benchmark.figures.flops import ARCHITECTURE, count_work
from benchmark.quality.deep_cache import DeepCache
from benchmark.quality.settings import STUDY_EVALUATIONS
from benchmark.quality.trial import Rows


@dataclass(frozen=True)
class UnetWork:
    """FLOPs a row; a multiply-add counts as two."""

    whole: int
    outermost: int

    def of(self, rows: Rows) -> int:
        return rows.whole * self.whole + rows.outermost * self.outermost

    def share(self, rows: Rows) -> float:
        """Of what the study's setting takes with the same network."""
        return self.of(rows) / (STUDY_EVALUATIONS * self.whole)


def count_unet(unet: DeepCache, latents: Any, embeds: Any) -> UnetWork:
    """[1, C, h, w] and [1, tokens, D] on the UNet's device, which may be "meta": there nothing is
    computed or stored."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def counted(full: bool) -> int:
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            unet(latents, torch.ones(1, device=latents.device), embeds, full)
        flops: int = counter.get_total_flops()
        return flops

    whole = counted(True)
    return UnetWork(whole, counted(False))


@cache
def full_size() -> UnetWork:
    """SD 2.1 base's at 512x512."""
    import torch
    from diffusers import UNet2DConditionModel

    architecture = json.loads(ARCHITECTURE.read_text())
    known, side = architecture["unet"], 512 // architecture["vae_scale"]
    tokens = architecture["text_encoder"]["max_position_embeddings"]
    with torch.device("meta"):
        unet = UNet2DConditionModel(**known).eval()
        latents = torch.empty(1, known["in_channels"], side, side)
        embeds = torch.empty(1, tokens, known["cross_attention_dim"])
        return count_unet(DeepCache(unet), latents, embeds)


def full_size_picture(rows: Rows) -> int:
    """FLOPs of the whole picture: with both texts encoded, and decoded."""
    work = count_work(512, 512)
    return full_size().of(rows) + 2 * work.text_encoder.flops + work.vae_decoder.flops
