"""Stages two and three: the UNet and the text encoder together, in the autoencoder's latents.

Stage two teaches drawing and most of the language. Stage three goes on with garbled prompts, so
that which colour is whose follows from the words around it and not from where they stand.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from diffusers import DDPMScheduler
from diffusers.models.attention_processor import AttnProcessor
from tqdm import tqdm

from model_assets.tiny.data import drawn_pool, training_combinations
from model_assets.tiny.model import LATENT_SIZE, build_text_encoder, build_unet, config
from model_assets.tiny.prompts import STRANGE, Prompts
from model_assets.tiny.tokenizer import VOCABULARY
from model_assets.tiny.train_vae import to_tensor
from model_assets.tiny.training import Average, Stage, run, step_generators
from sd_contract.model_layout import SCHEDULER_CONFIG

SEED = 2
BATCH = 128
PICTURES_EACH = 120
EMBEDDING = "embeddings.token_embedding.weight"


@dataclass(frozen=True)
class Lesson:
    """What stages two and three differ in."""

    name: str
    steps: int
    peak_rate: float
    garbled: bool
    pictures_a_prompt: int
    lateness: float
    """Times are drawn as 1000 · u^lateness: below 1, more of the noisy ones, where colours and
    shape are decided."""


LESSONS = (
    Lesson("denoiser", 4000, 1e-3, garbled=False, pictures_a_prompt=2, lateness=1.0),
    Lesson("language", 1600, 7e-4, garbled=True, pictures_a_prompt=1, lateness=0.6),
)


@dataclass(frozen=True)
class Latents:
    """The encoder's scaled distributions, [PICTURES_EACH, combinations, 4, 8, 8]."""

    mean: torch.Tensor
    std: torch.Tensor
    scaling_factor: float


def encode_pool(vae: Any) -> Latents:
    combinations = training_combinations()
    count = PICTURES_EACH * len(combinations)
    pictures = drawn_pool(count, SEED)
    means, stds = [], []
    with torch.inference_mode():
        for start in tqdm(range(0, count, 100), "latents", mininterval=2):
            posterior = vae.encode(to_tensor(pictures[start : start + 100])).latent_dist
            means.append(posterior.mean)
            stds.append(posterior.std)
    mean, std = torch.cat(means), torch.cat(stds)
    # What is drawn from these distributions, times the factor, has a standard deviation of one.
    factor = round(float((mean.var() + std.square().mean()).rsqrt()), 5)
    each = (PICTURES_EACH, len(combinations), 4, LATENT_SIZE, LATENT_SIZE)
    return Latents((mean * factor).view(each), (std * factor).view(each), factor)


def _to_full_vocabulary(text_encoder: Any, used: list[int]) -> Any:
    full = build_text_encoder()
    state = text_encoder.state_dict()
    (name,) = (key for key in state if key.endswith(EMBEDDING))
    compact = state[name]
    state[name] = compact[STRANGE].repeat(VOCABULARY, 1)
    state[name][used] = compact[1:]
    full.load_state_dict(state)
    return full.eval().requires_grad_(False)


def train_denoiser(
    latents: Latents, work_dir: Path, resume: bool, lessons: tuple[Lesson, ...] = LESSONS
) -> tuple[Any, Any, float]:
    """The averaged UNet and text encoder, and the seconds their training took."""
    prompts = Prompts(SEED)
    torch.manual_seed(SEED)
    text_encoder = build_text_encoder(len(prompts.used) + 1).train()
    unet = build_unet().train()
    # torch's fused attention is slow backwards in bfloat16 on CPUs, ten times the plain one.
    unet.set_attn_processor(AttnProcessor())
    schedule = {**config(SCHEDULER_CONFIG), "_class_name": "DDPMScheduler"}
    noising = DDPMScheduler.from_config(schedule)
    parameters = [*text_encoder.parameters(), *unet.parameters()]

    def loss_at(lesson: Lesson, seed: int, step: int) -> torch.Tensor:
        rng = step_generators(seed, step)
        each = lesson.pictures_a_prompt
        combinations = rng.integers(latents.mean.shape[1], size=BATCH // each)
        ids = torch.from_numpy(prompts.batch(combinations, rng, lesson.garbled))
        combinations = combinations.repeat(each)
        pictures = rng.integers(PICTURES_EACH, size=BATCH)
        mean, std = latents.mean[pictures, combinations], latents.std[pictures, combinations]
        clean = mean + std * torch.randn_like(mean)
        noise = torch.randn_like(clean)
        # One time from each of BATCH equal spans: less variance than independent draws.
        spread = (torch.randperm(BATCH) + torch.rand(BATCH)) / BATCH
        times = (1000 * spread**lesson.lateness).long().clamp(max=999)
        noisy = noising.add_noise(clean, noise, times)
        words = text_encoder(ids)[0].repeat_interleave(each, dim=0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            predicted = unet(noisy, times, words).sample
        return functional.mse_loss(predicted.float(), noise)

    seconds = 0.0
    for number, lesson in enumerate(lessons):
        average = Average(parameters)
        models = {"unet": unet, "text_encoder": text_encoder, "average": average}
        stage = Stage(lesson.name, lesson.steps, lesson.peak_rate, parameters, models)
        loss = partial(loss_at, lesson, SEED + number)
        seconds += run(stage, loss, work_dir, resume, average.follow)
        average.copy_to_parameters()
    return unet.eval(), _to_full_vocabulary(text_encoder, prompts.used), seconds
