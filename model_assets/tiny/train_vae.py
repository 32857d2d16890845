"""Stage one: the autoencoder, on drawn pictures alone."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional

from model_assets.tiny.data import Pictures, draw, training_combinations
from model_assets.tiny.model import build_vae
from model_assets.tiny.training import Stage, run, step_generators

STEPS = 2600
BATCH = 24
SEED = 1


def to_tensor(pictures: Pictures) -> torch.Tensor:
    """uint8 pictures as the VAE takes them: channels first, -1 to 1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def _edges(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return images.diff(dim=2), images.diff(dim=3)


def train_vae(work_dir: Path, resume: bool, steps: int = STEPS) -> tuple[Any, float]:
    """The trained autoencoder and the seconds its training took."""
    torch.manual_seed(SEED)
    vae = build_vae().train()
    known = training_combinations()

    def loss_at(step: int) -> Any:
        rng = step_generators(SEED, step)
        drawn = [draw(known[i], rng) for i in rng.integers(len(known), size=BATCH)]
        images = to_tensor(np.stack(drawn))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            posterior = vae.encode(images).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        decoded = decoded.float()
        loss = functional.l1_loss(decoded, images) + functional.mse_loss(decoded, images)
        for ours, theirs in zip(_edges(decoded), _edges(images), strict=True):
            loss = loss + 0.5 * functional.l1_loss(ours, theirs)
        whisper = 3e-4 / posterior.mean[0].numel()
        return loss + whisper * posterior.kl().float().mean()

    stage = Stage("vae", steps, 3e-3, list(vae.parameters()), {"model": vae})
    seconds = run(stage, loss_at, work_dir, resume)
    return vae.eval().requires_grad_(False), seconds
