"""What a variant's container is told: its environment; and what the others are: its registration
with the front door, and its fleets' with the batches."""

import json

from sd_contract.environment import ServingEnvironment
from sd_contract.fields import IMAGES, STEPS
from sd_contract.fleet import BulkFleet, Fleet
from sd_contract.registration import ASYNC, BULK, Registration
from stacks.components.artifacts import ServedModel, ServingImage
from stacks.components.network import Network
from stacks.settings import Settings, VariantSettings
from stacks.settings.compile import CompiledSettings


def serving_environment(variant: VariantSettings, artifact_key: str) -> dict[str, str]:
    """What every container is told, and what the variant's kind adds."""
    compiled = variant if isinstance(variant, CompiledSettings) else None
    told = ServingEnvironment(
        variant=variant.name,
        artifact_key=artifact_key,
        sizes=variant.sizes,
        modes=variant.modes.samplings,
        default_guidance_scale=variant.guidance_scale,
        dtype=variant.dtype,
        neuron_sdk=compiled.sdk if compiled else "",
        compile_backend=compiled.compile.backend if compiled else "",
    )
    return {**told.to_env(), **variant.environment()}


def registration(
    settings: Settings,
    variant: VariantSettings,
    served: ServedModel,
    built: str,
    endpoint_config: str | None,
) -> str:
    """A Registration as JSON, at most 4096 characters. `built` is JSON that is known in the deploy
    alone, as `endpoint_config` is, which is of the real-time endpoint."""
    price, model = settings.prices.get(variant.name), settings.models[variant.model]
    registered = Registration(
        name=variant.name,
        endpoint_name=variant.endpoint_name,
        engine=variant.engine,
        instance_type=variant.instance_type,
        instance_count=variant.scaling.min_instances,
        price_usd_per_hour=price.usd_per_hour if price else None,
        price_date=price.date if price else None,
        price_source=price.source if price else None,
        region=settings.region,
        sizes=variant.sizes,
        max_images=IMAGES.high,
        default_steps=variant.modes.standard.steps,
        max_steps=STEPS.high,
        default_guidance_scale=variant.guidance_scale,
        seconds_per_step=variant.seconds_per_step,
        model_id=model.id,
        revision=served.revision,
        license=model.license,
        license_url=model.license_url,
        artifact_key=served.artifact_key,
        default=variant.name == settings.api.default_model,
        modes=variant.registered_modes,
        serve=settings.batch.served(variant.serve),
        endpoint_config=endpoint_config,
    ).document()
    # Nor is whether it is stopped a deploy's to say.
    del registered["built"], registered["stopped"]
    text = json.dumps(registered, separators=(",", ":"))
    return f'{text[:-1]},"built":{built}}}'


def fleet(
    settings: Settings,
    variant: VariantSettings,
    served: ServedModel,
    image: ServingImage,
    bulk_role_arn: str,
    network: Network | None,
) -> str:
    """A Fleet as JSON, at most 4096 characters."""
    price, told = settings.bulk_prices.get(variant.name), variant.bulk
    bulk = BulkFleet(
        image_uri=image.uri,
        role_arn=bulk_role_arn,
        instance_type=told.instance_type,
        instance_count=told.instances,
        spot=told.spot,
        max_seconds=told.max_hours * 3600,
        volume_gb=told.volume_gb,
        model_uri=served.uri,
        environment=serving_environment(variant, served.artifact_key),
        price_usd_per_hour=price.usd_per_hour if price else None,
        kms_key_arn=served.storage.encryption_key.key_arn,
        **(vars(network) if network else {}),
    )
    return Fleet(
        variant.serve,
        variant.async_endpoint_name if ASYNC in variant.serve else None,
        bulk if BULK in variant.serve else None,
    ).to_json()
