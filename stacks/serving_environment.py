"""What a variant's container is told: its environment, and its registration with the front door."""

import json
from collections.abc import Mapping

from stacks.components.artifacts import ServedModel
from stacks.settings import LIMITS, Settings, VariantSettings


def serving_environment(variant: VariantSettings, artifact_key: str) -> dict[str, str]:
    """Read by sd_serving/config.py, and DJL's part by model_assets/djl/options.py."""
    return {
        "SD_VARIANT": variant.name,
        "SD_ARTIFACT_KEY": artifact_key,
        "SD_SIZES": ",".join(map(str, variant.sizes)),
        "SD_MAX_IMAGES": str(LIMITS.n[1]),
        "SD_MAX_PROMPT_CHARS": str(LIMITS.prompt[1]),
        "SD_DEFAULT_STEPS": str(variant.steps),
        "SD_MAX_STEPS": str(LIMITS.num_inference_steps[1]),
        "SD_DEFAULT_GUIDANCE": str(variant.guidance_scale),
        "SD_MIN_GUIDANCE": str(LIMITS.guidance_scale[0]),
        "SD_MAX_GUIDANCE": str(LIMITS.guidance_scale[1]),
        "SD_DTYPE": variant.dtype,
        **variant.environment(),
    }


def registration(
    settings: Settings, variant: VariantSettings, served: ServedModel, built: str
) -> str:
    """The JSON document the front door and the benchmark read, at most 4096 characters. `built` is
    JSON that is known in the deploy alone."""
    price, model = settings.prices.get(variant.name), settings.models[variant.model]
    document: Mapping[str, object] = {
        "name": variant.name,
        "endpoint_name": variant.endpoint_name,
        "engine": variant.engine,
        "instance_type": variant.instance_type,
        "instance_count": variant.instance_count,
        "price_usd_per_hour": price and price.usd_per_hour,
        "price_date": price and price.date,
        "price_source": price and price.source,
        "region": settings.region,
        "sizes": list(map(str, variant.sizes)),
        "max_images": LIMITS.n[1],
        "default_steps": variant.steps,
        "max_steps": LIMITS.num_inference_steps[1],
        "default_guidance_scale": variant.guidance_scale,
        "seconds_per_step": variant.seconds_per_step,
        "model_id": model.id,
        "revision": served.revision,
        "license": model.license,
        "license_url": model.license_url,
        "artifact_key": served.artifact_key,
        "default": variant.name == settings.api.default_model,
    }
    text = json.dumps(document, separators=(",", ":"))
    return f'{text[:-1]},"built":{built}}}'
