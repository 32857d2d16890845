"""How much arithmetic of the UNet a picture takes by our settings, against the study's."""

import json
from datetime import date
from pathlib import Path

from benchmark.quality.settings import STUDY_EVALUATIONS, name_of
from benchmark.quality.work import Rows, UnetWork, count_unet, full_size
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
    return Measured(
        unet.of(Rows.of(sampling)) / 1e12,
        STUDY_EVALUATIONS * unet.full / 1e12,
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
    known = json.loads((folder / "unet" / "config.json").read_bytes())
    return count_unet(known, side, side, tokens)
