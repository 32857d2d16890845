"""The sub-models' architecture and their one layout on disk.

SD 2.1 base's structure, narrower. Everything on disk is written here, key by key, not by
`save_pretrained`: transformers 5's models name the text encoder's weights in a way that
transformers 4 ignores, and diffusers 0.16 knows only older names of the VAE's attention. Written
as they were when SD 2.1 came out, both old and new libraries read them.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from model_assets.tiny.data import SIZE
from model_assets.tiny.tokenizer import END, START, TOKENIZER, VOCABULARY, WEIGHTS

LATENT_SIZE = SIZE // 8

TEXT_ENCODER: dict[str, Any] = {
    "architectures": ["CLIPTextModel"],
    "attention_dropout": 0.0,
    "bos_token_id": START,
    "dropout": 0.0,
    "eos_token_id": END,
    "hidden_act": "gelu",
    "hidden_size": 64,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 256,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "model_type": "clip_text_model",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 1,
    "projection_dim": 64,
    "torch_dtype": "float16",
    "vocab_size": VOCABULARY,
}

UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "_diffusers_version": "0.16.0",
    "act_fn": "silu",
    "attention_head_dim": [2, 4],
    "block_out_channels": [64, 128],
    "center_input_sample": False,
    "cross_attention_dim": TEXT_ENCODER["hidden_size"],
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": LATENT_SIZE,
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "use_linear_projection": True,
}

VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "_diffusers_version": "0.16.0",
    "act_fn": "silu",
    "block_out_channels": [16, 32, 64, 64],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "out_channels": 3,
    "sample_size": SIZE,
    "scaling_factor": 1.0,  # replaced by the measured one
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}

SCHEDULER: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.16.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}

MODEL_INDEX: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.16.0",
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


@dataclass(frozen=True)
class TinyModel:
    text_encoder: Any
    unet: Any
    vae: Any
    scaling_factor: float


def build_text_encoder(vocabulary: int = VOCABULARY) -> Any:
    config = {**TEXT_ENCODER, "vocab_size": vocabulary}
    if vocabulary < VOCABULARY:
        config |= {"bos_token_id": 0, "eos_token_id": 0}
    return CLIPTextModel(CLIPTextConfig(**config))


def build_unet() -> Any:
    return UNet2DConditionModel.from_config(UNET)


def build_vae() -> Any:
    return AutoencoderKL.from_config(VAE)


def untrained(seed: int = 0) -> TinyModel:
    """Seeded random weights in the final structure."""
    torch.manual_seed(seed)
    return TinyModel(build_text_encoder(), build_unet(), build_vae(), 1.0)


# --- the layout on disk --------------------------------------------------------------------------

_OLD_ATTENTION_NAMES = {
    ".to_q.": ".query.",
    ".to_k.": ".key.",
    ".to_v.": ".value.",
    ".to_out.0.": ".proj_attn.",
}


def _text_encoder_key(key: str) -> str:
    return key if key.startswith("text_model.") else f"text_model.{key}"


def _vae_key(key: str) -> str:
    for new, old in _OLD_ATTENTION_NAMES.items():
        key = key.replace(new, old)
    return key


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_weights(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {key: state[key].to(torch.float16).contiguous() for key in sorted(state)},
        path,
        metadata={"format": "pt"},
    )
    path.chmod(0o644)


def save(model: TinyModel, folder: Path = WEIGHTS) -> None:
    """Write everything beside `folder`, then swap it in, so that readers never see half a model."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    fresh.chmod(0o755)
    shutil.copytree(TOKENIZER, fresh / "tokenizer")
    _write_json(fresh / "model_index.json", MODEL_INDEX)
    _write_json(fresh / "scheduler" / "scheduler_config.json", SCHEDULER)
    _write_json(fresh / "text_encoder" / "config.json", TEXT_ENCODER)
    _write_json(fresh / "unet" / "config.json", UNET)
    _write_json(fresh / "vae" / "config.json", {**VAE, "scaling_factor": model.scaling_factor})
    text_encoder = {
        _text_encoder_key(key): value
        for key, value in model.text_encoder.state_dict().items()
        if not key.endswith("position_ids")
    }
    _write_weights(fresh / "text_encoder" / "model.safetensors", text_encoder)
    weights_name = "diffusion_pytorch_model.safetensors"
    _write_weights(fresh / "unet" / weights_name, model.unet.state_dict())
    vae = {_vae_key(key): value for key, value in model.vae.state_dict().items()}
    _write_weights(fresh / "vae" / weights_name, vae)
    replaced = folder.with_name(f".{folder.name}-replaced-{os.getpid()}")
    if folder.exists():
        folder.rename(replaced)
    fresh.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(path))
