"""How much of the UNet a picture takes by our settings, against what the study's took."""

import json
from datetime import date

from benchmark.speed.rows import Measured
from sd_contract.sampling import Sampling
from stacks.settings import ROOT, load

STUDY_ROWS = 102
"""PNDM's 50 steps are 51 calls of the UNet, of two rows each (diffusers, PNDMScheduler with
`skip_prk_steps`)."""


def work(profile: str, mode: str) -> Measured:
    """Rows through the UNet, by the diffusers kind's settings in cdk.json."""
    context = json.loads((ROOT / "cdk.json").read_bytes())["context"]
    settings = load({**context, **({"profile": profile} if profile else {})})
    variant = next(variant for variant in settings.variants if variant.kind == "diffusers")
    sampling = Sampling(variant.steps)
    return Measured(
        sampling.full_evaluations,
        STUDY_ROWS,
        "",
        f"`{mode}` of variant {variant.name}" + (f", profile {profile}" if profile else ""),
        "counted",
        date.today().isoformat(),
    )
