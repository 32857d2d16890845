"""How much arithmetic of the UNet a picture takes by our settings, against the study's."""

import json
from datetime import date
from pathlib import Path

from benchmark.quality.settings import STUDY_EVALUATIONS, name_of
from benchmark.quality.trial import Rows
from benchmark.quality.work import UnetWork, count_unet, full_size
from benchmark.speed.full_size import SMALL
from benchmark.speed.rows import Measured
from sd_contract.sampling import Sampling
from stacks.settings import ROOT, load

LOCAL = "local"
"""cdk.json's profile for the small model."""


def work(profile: str, mode: str) -> Measured:
    """TFLOPs, by the diffusers kind's settings in cdk.json; of SD 2.1 base at 512x512, or of the
    small model with its profile."""
    sampling = _sampling(profile, mode)
    unet = _small() if profile == LOCAL else full_size()
    full = sampling.full_evaluations
    ours = unet.of(Rows(full, sampling.evaluations - full))
    return Measured(
        ours / 1e12,
        STUDY_EVALUATIONS * unet.whole / 1e12,
        "`python -m benchmark quality` has it",
        f"`{mode}` is {name_of(sampling)}: {sampling.evaluations} rows against {STUDY_EVALUATIONS}",
        "counted by torch",
        date.today().isoformat(),
    )


def _sampling(profile: str, mode: str) -> Sampling:
    context = json.loads((ROOT / "cdk.json").read_bytes())["context"]
    settings = load({**context, **({"profile": profile} if profile else {})})
    variant = next(variant for variant in settings.variants if variant.kind == "diffusers")
    return variant.modes.samplings[mode]


def _small(folder: Path = SMALL, side: int = 8, tokens: int = 77) -> UnetWork:
    import torch
    from diffusers import UNet2DConditionModel

    from benchmark.quality.deep_cache import DeepCache

    known = json.loads((folder / "unet" / "config.json").read_bytes())
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(known).eval()
        latents = torch.empty(1, known["in_channels"], side, side)
        embeds = torch.empty(1, tokens, known["cross_attention_dim"])
        return count_unet(DeepCache(unet), latents, embeds)
