"""diffusers' own pipeline, which this project's pictures are held against."""

import json
from pathlib import Path
from typing import Any

from sd_contract.model_layout import SCHEDULER_CONFIG
from sd_serving.diffusers_parts import DiffusersParts


def pipeline_of(parts: DiffusersParts, scheduler: Any) -> Any:
    """Of diffusers, with the parts' networks."""
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer._tokenizer,
        unet=parts.unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def scheduler_of_diffusers(folder: Path) -> Any:
    """What steps there as linspace does here."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler.from_config(
        json.loads((folder / SCHEDULER_CONFIG).read_bytes()),
        algorithm_type="dpmsolver++",
        solver_order=2,
        lower_order_final=True,
        final_sigmas_type="sigma_min",
        timestep_spacing="linspace",
    )
