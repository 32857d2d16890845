"""Trains the tiny model from nothing: `python -m model_assets.tiny.train`.

A run that was stopped goes on from its last checkpoint when started again.
"""

import argparse
import os
from pathlib import Path

import torch

from model_assets.tiny.model import save
from model_assets.tiny.tokenizer import WEIGHTS
from model_assets.tiny.train_denoiser import encode_pool, train_denoiser
from model_assets.tiny.train_vae import train_vae


def main() -> None:
    parser = argparse.ArgumentParser(prog="model_assets.tiny.train", description=__doc__)
    parser.add_argument("--work-dir", type=Path, default=Path("out/tiny-training"))
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    vae, vae_seconds = train_vae(arguments.work_dir, arguments.resume)
    latents = encode_pool(vae)
    unet, text_encoder, seconds = train_denoiser(latents, arguments.work_dir, arguments.resume)
    networks = {"text_encoder": text_encoder, "unet": unet, "vae": vae}
    save(networks, latents.scaling_factor, arguments.output)
    print(
        f"autoencoder {vae_seconds / 60:.1f} min, UNet and text encoder {seconds / 60:.1f} min, "
        f"{arguments.threads} thread(s); weights in {arguments.output}"
    )


if __name__ == "__main__":
    main()
