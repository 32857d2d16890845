"""The sub-models' architecture and their one layout on disk.

SD 2.1 base's structure, narrower; `weights/` states it, in each config.json. Weights are written
tensor by tensor, not by `save_pretrained`: transformers 5's models name the text encoder's in a way
that transformers 4 ignores, and diffusers 0.16 knows only older names of the VAE's attention.
Written as they were when SD 2.1 came out, both old and new libraries read them.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from model_assets.tiny.data import SIZE
from model_assets.tiny.tokenizer import VOCABULARY, WEIGHTS
from sd_contract.model_layout import CONFIGS
from sd_contract.model_layout import WEIGHTS as LAID_OUT
from sd_contract.model_weights import laid_out_name
from sd_contract.size import VAE_SCALE

LATENT_SIZE = SIZE // VAE_SCALE


def config(path: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((WEIGHTS / path).read_bytes())
    return document


def build_text_encoder(vocabulary: int = VOCABULARY) -> Any:
    known = {**config(CONFIGS["text_encoder"]), "vocab_size": vocabulary}
    if vocabulary < VOCABULARY:
        known |= {"bos_token_id": 0, "eos_token_id": 0}
    return CLIPTextModel(CLIPTextConfig(**known))


def build_unet() -> Any:
    return UNet2DConditionModel.from_config(config(CONFIGS["unet"]))


def build_vae() -> Any:
    return AutoencoderKL.from_config(config(CONFIGS["vae"]))


def save(networks: Mapping[str, Any], scaling_factor: float, folder: Path = WEIGHTS) -> None:
    """`networks` by component. Writes everything beside `folder`, then swaps it in, so that readers
    never see half a model."""
    fresh, replaced = (
        folder.with_name(f".{folder.name}-{w}-{os.getpid()}") for w in ("new", "old")
    )
    shutil.copytree(WEIGHTS, fresh, ignore=shutil.ignore_patterns("*.safetensors"))
    vae = {**config(CONFIGS["vae"]), "scaling_factor": scaling_factor}
    (fresh / CONFIGS["vae"]).write_text(json.dumps(vae, indent=2) + "\n", encoding="utf-8")
    for component, network in networks.items():
        state = {
            laid_out_name(component, name): value.to(torch.float16).contiguous()
            for name, value in network.state_dict().items()
            if not name.endswith("position_ids")
        }
        save_file(state, fresh / LAID_OUT[component], metadata={"format": "pt"})
        (fresh / LAID_OUT[component]).chmod(0o644)
    if folder.exists():
        folder.rename(replaced)
    fresh.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)
