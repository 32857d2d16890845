"""The UNet's counted arithmetic: a full row's, and a shallow one's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from benchmark.figures.flops import ARCHITECTURE, count_work
from benchmark.quality.settings import STUDY_EVALUATIONS
from sd_contract.sampling import Sampling
from sd_serving.deep_cache import DeepHalf


@dataclass(frozen=True)
class Rows:
    """Of a picture, through the UNet: with guidance a step has two. `shallow`: DeepCache's, without
    the deep blocks."""

    full: int
    shallow: int = 0

    @property
    def all(self) -> int:
        return self.full + self.shallow

    @classmethod
    def of(cls, sampling: Sampling) -> Self:
        """With guidance."""
        return cls(sampling.full_evaluations, sampling.evaluations - sampling.full_evaluations)


@dataclass(frozen=True)
class UnetWork:
    """FLOPs a row; a multiply-add counts as two."""

    full: int
    shallow: int

    def of(self, rows: Rows) -> int:
        return rows.full * self.full + rows.shallow * self.shallow

    def share(self, rows: Rows) -> float:
        """Of what the study's setting takes with the same network."""
        return self.of(rows) / (STUDY_EVALUATIONS * self.full)


def count_unet(known: Mapping[str, Any], width: int, height: int, tokens: int) -> UnetWork:
    """By a UNet2DConditionModel's config, at so many latents; on no device, as there PyTorch has no
    kernel for attention that its counter doesn't know. Nothing is computed or stored."""
    import torch
    from diffusers import UNet2DConditionModel
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(known).eval()
        latents = torch.empty(1, known["in_channels"], height, width)
        embeds = torch.empty(1, tokens, known["cross_attention_dim"])
        deep, t = DeepHalf(), torch.empty(1)

    def counted(full: bool) -> int:
        deep.full = full
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            deep.denoise(unet, latents, t, embeds)
        flops: int = counter.get_total_flops()
        return flops

    full = counted(True)  # before it there is nothing to take over
    return UnetWork(full, counted(False))


@cache
def full_size() -> UnetWork:
    """SD 2.1 base's at 512x512."""
    architecture = json.loads(ARCHITECTURE.read_text())
    side = 512 // architecture["vae_scale"]
    tokens = architecture["text_encoder"]["max_position_embeddings"]
    return count_unet(architecture["unet"], side, side, tokens)


def full_size_picture(rows: Rows) -> int:
    """FLOPs of the whole picture: with both texts encoded, and decoded."""
    work = count_work(512, 512)
    return full_size().of(rows) + 2 * work.text_encoder.flops + work.vae_decoder.flops
