"""How much arithmetic of the UNet a picture takes by our settings, against the study's."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from benchmark.quality.projection import read_quality
from benchmark.quality.settings import BASELINE, STUDY_EVALUATIONS, name_of
from benchmark.quality.work import Rows, UnetWork, count_unet, full_size
from benchmark.speed.full_size import SMALL
from benchmark.speed.rows import Measured
from sd_contract.sampling import Sampling
from stacks.settings import ROOT, load

LOCAL = "local"
"""cdk.json's profile for the small model."""
QUALITY = ROOT / "docs" / "speed" / "quality.json"
REAL = "not measured: `python -m benchmark quality --model FOLDER`"


def work(profile: str, mode: str) -> Measured:
    """TFLOPs, by the diffusers kind's settings in cdk.json; of SD 2.1 base at 512x512, or of the
    small model with its profile."""
    sampling = _sampling(profile, mode)
    unet = _small() if profile == LOCAL else full_size()
    return Measured(
        unet.of(Rows.of(sampling)) / 1e12,
        STUDY_EVALUATIONS * unet.full / 1e12,
        difference(sampling, read_quality(QUALITY)) if profile == LOCAL else REAL,
        f"`{mode}` is {name_of(sampling)}: {sampling.evaluations} rows against {STUDY_EVALUATIONS}",
        "counted by torch",
        date.today().isoformat(),
    )


def difference(sampling: Sampling, quality: Mapping[str, Mapping[str, Any]]) -> str:
    """Between the setting's pictures and the baseline's, by `read_quality`."""
    ours, base = (quality.get(name_of(each)) for each in (sampling, BASELINE))
    if not ours or not base:
        return "not measured: `python -m benchmark quality`"

    def told(row: Mapping[str, Any]) -> str:
        return f"{row['scores']['all right']:.1%} right, {row['db_median']:.1f} dB to 100 steps"

    return f"{told(ours)}; {name_of(BASELINE)}: {told(base)}"


def _sampling(profile: str, mode: str) -> Sampling:
    context = json.loads((ROOT / "cdk.json").read_bytes())["context"]
    settings = load({**context, **({"profile": profile} if profile else {})})
    variant = next(variant for variant in settings.variants if variant.kind == "diffusers")
    return variant.modes.samplings[mode]


def _small(folder: Path = SMALL, side: int = 8, tokens: int = 77) -> UnetWork:
    known = json.loads((folder / "unet" / "config.json").read_bytes())
    return count_unet(known, side, side, tokens)
