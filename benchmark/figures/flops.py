"""How much arithmetic one picture takes, counted by torch on tensors without storage."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ARCHITECTURE = Path(__file__).parents[1] / "data" / "sd21_base.json"


@dataclass(frozen=True)
class ComponentWork:
    """One call of a component with one row. A multiply-add counts as two FLOPs."""

    flops: int
    parameters: int


@dataclass(frozen=True)
class Calls:
    """What a picture asks of one component: `times` calls, each with so many `rows`."""

    name: str
    component: ComponentWork
    times: int
    rows: int

    @property
    def flops(self) -> int:
        return self.times * self.rows * self.component.flops


@dataclass(frozen=True)
class Work:
    text_encoder: ComponentWork
    unet: ComponentWork
    vae_decoder: ComponentWork

    def per_image(self, steps: int, guidance_scale: float) -> list[Calls]:
        """Guidance above 1 doubles the rows of the text encoder and the UNet, not their calls."""
        rows = 2 if guidance_scale > 1 else 1
        return [
            Calls("text encoder", self.text_encoder, 1, rows),
            Calls("UNet", self.unet, steps, rows),
            Calls("VAE decoder", self.vae_decoder, 1, 1),
        ]


@cache
def count_work(width: int, height: int) -> Work:
    """SD 2.1 base at that size; ValueError if the size doesn't fit its latents.

    On the meta device nothing is computed or stored, so neither weights nor memory are needed.
    Element-wise work (norms, activations, softmax) is not in torch's count; it is well below 1 %.
    """
    architecture: Mapping[str, Any] = json.loads(ARCHITECTURE.read_text())
    if width % 64 or height % 64:
        raise ValueError(f"{width}x{height}: width and height must be multiples of 64")

    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    scale = architecture["vae_scale"]
    latents = (1, architecture["unet"]["in_channels"], height // scale, width // scale)
    text = architecture["text_encoder"]
    embeds = (1, text["max_position_embeddings"], text["hidden_size"])
    with torch.device("meta"):
        unet = UNet2DConditionModel(**architecture["unet"])
        vae = AutoencoderKL(**architecture["vae"])
        text_encoder = CLIPTextModel(CLIPTextConfig(**text))
        ids = torch.zeros(embeds[:2], dtype=torch.long)
        return Work(
            text_encoder=_count(text_encoder, [text_encoder], ids),
            unet=_count(unet, [unet], torch.empty(latents), torch.empty(1), torch.empty(embeds)),
            vae_decoder=_count(
                vae.decode, [vae.decoder, vae.post_quant_conv], torch.empty(latents)
            ),
        )


def _count(call: Any, modules: list[Any], *inputs: Any) -> ComponentWork:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(*inputs)
    parameters = sum(p.numel() for module in modules for p in module.parameters())
    return ComponentWork(counter.get_total_flops(), parameters)
