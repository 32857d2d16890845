"""What a variant's container is told: its environment, and its registration with the front door."""

import json

from djl.options import DjlBatching, DjlOptions
from sd_contract.environment import ServingEnvironment
from sd_contract.fields import IMAGES, STEPS
from sd_contract.registration import Registration
from sd_contract.size import Size
from stacks.components.sagemaker_endpoint import ServedModel
from stacks.settings import DjlSettings, Inf2Settings, Settings, VariantSettings


def serving_environment(
    settings: Settings, variant: VariantSettings, artifact_key: str
) -> dict[str, str]:
    """Also what DJL itself is told."""
    compiled = isinstance(variant, Inf2Settings)
    told = ServingEnvironment(
        variant=variant.name,
        artifact_key=artifact_key,
        sizes=tuple(map(Size.parse, variant.sizes)),
        default_steps=variant.steps,
        default_guidance_scale=variant.guidance_scale,
        dtype=variant.dtype,
        neuron_sdk=settings.compile.sdk if compiled else "",
        compile_backend=settings.compile.backend if compiled else "",
    )
    if not isinstance(variant, DjlSettings):
        return told.to_env()
    options = DjlOptions(variant.acceleration, variant.cuda_graphs, variant.max_unet_rows)
    batching = DjlBatching(
        variant.max_batch_size, variant.max_batch_delay_ms, variant.job_queue_size
    )
    return {**told.to_env(), **batching.to_env(), **options.to_env()}


def registration(
    settings: Settings, variant: VariantSettings, served: ServedModel, built: str
) -> str:
    """A Registration as JSON, at most 4096 characters. `built` is JSON that is known in the deploy
    alone."""
    price = settings.prices.get(variant.name)
    registered = Registration(
        name=variant.name,
        endpoint_name=variant.endpoint_name,
        engine=variant.engine,
        instance_type=variant.instance_type,
        instance_count=variant.instance_count,
        price_usd_per_hour=price.usd_per_hour if price else None,
        price_date=price.date if price else None,
        price_source=price.source if price else None,
        region=settings.region,
        sizes=tuple(map(Size.parse, variant.sizes)),
        max_images=IMAGES.high,
        default_steps=variant.steps,
        max_steps=STEPS.high,
        default_guidance_scale=variant.guidance_scale,
        seconds_per_step=variant.seconds_per_step,
        model_id=settings.model.id,
        revision=served.revision,
        license=settings.model.license,
        license_url=settings.model.license_url,
        artifact_key=served.artifact_key,
        default=variant.name == settings.api.default_model,
    ).document()
    del registered["built"]
    text = json.dumps(registered, separators=(",", ":"))
    return f'{text[:-1]},"built":{built}}}'
