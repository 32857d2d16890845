"""The app's settings, read and checked once.

`load(context)` merges cdk.json's `sd` object, the chosen profile and dotted `-c sd.…` values,
checks all of it and raises one `SettingsError` with every mistake. The values are frozen; nothing
else in the app reads the context.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stacks.catalogue.images import BaseImage
from stacks.catalogue.prices import Price, price_of
from stacks.settings.alarms import AlarmSettings
from stacks.settings.api import ApiSettings
from stacks.settings.batch import BatchSettings
from stacks.settings.budget import BudgetSettings
from stacks.settings.builds import BuildSettings
from stacks.settings.context import merge, stray_problems
from stacks.settings.gallery import GallerySettings
from stacks.settings.generator_app import GeneratorAppSettings
from stacks.settings.models import ROOT, ModelSettings, read_models
from stacks.settings.names import PREFIX, Names
from stacks.settings.network import NetworkSettings
from stacks.settings.problems import Notice, Problem, SettingsError
from stacks.settings.reading import below, names_of, read_section
from stacks.settings.rules import LOG_DAYS, optional, setting, text
from stacks.settings.variant import VariantSettings
from stacks.settings.variants import KINDS, default_problems, paths_of, read_variants

__all__ = [
    "KINDS",
    "LOG_DAYS",
    "ROOT",
    "AlarmSettings",
    "ApiSettings",
    "BatchSettings",
    "BuildSettings",
    "GallerySettings",
    "GeneratorAppSettings",
    "ModelSettings",
    "Names",
    "NetworkSettings",
    "Settings",
    "SettingsError",
    "VariantSettings",
    "load",
]

PLAIN: Mapping[str, type[Any]] = {
    "api": ApiSettings,
    "alarms": AlarmSettings,
    "app": GeneratorAppSettings,
    "batch": BatchSettings,
    "gallery": GallerySettings,
    "builds": BuildSettings,
    "network": NetworkSettings,
    "budget": BudgetSettings,
}
"""Sections that are one dataclass, which Settings has by the same name."""
SECTIONS = ("models", "kinds", "variants", *PLAIN)


@dataclass(frozen=True, kw_only=True)
class AppSettings:
    region: str | None = setting(optional(text(r"[a-z]{2}(-[a-z]+)+-\d", "an AWS region's name")))
    prefix: str = setting(PREFIX)


@dataclass(frozen=True)
class Settings:
    region: str
    names: Names
    models: Mapping[str, ModelSettings]
    variants: tuple[VariantSettings, ...]
    """Those on offer."""
    variant_names: tuple[str, ...]
    """Of those that aren't on offer as well: one that was dropped may still be deployed."""
    api: ApiSettings
    alarms: AlarmSettings
    app: GeneratorAppSettings
    batch: BatchSettings
    gallery: GallerySettings
    builds: BuildSettings
    network: NetworkSettings
    budget: BudgetSettings
    prices: Mapping[str, Price | None]
    """By variant's name, of those on offer."""
    bulk_prices: Mapping[str, Price | None]
    """The same, of the instances that make large batches."""
    notices: tuple[Notice, ...]

    def variant(self, name: str) -> VariantSettings:
        """On offer; KeyError for any other."""
        return {variant.name: variant for variant in self.variants}[name]

    def base_image(self, variant: VariantSettings) -> BaseImage:
        return BaseImage.parse(variant.base_image, self.region, variant.base_image_digest)


def load(context: Mapping[str, Any], default_region: str = "us-east-1") -> Settings:
    """Raises SettingsError with every mistake. `default_region` serves where `region` is empty."""
    problems: list[Problem] = []
    raw = merge(context, problems)
    own = tuple(names_of(AppSettings))
    problems += stray_problems(context, raw, (*own, *SECTIONS), list(_paths(raw)))
    top = {name: raw[name] for name in own if name in raw}
    own_read = read_section(AppSettings, top, below("sd"), problems)
    region = (own_read and own_read.region) or default_region
    names = Names(own_read.prefix if own_read else "")
    models = read_models(raw.get("models"), problems)
    variants = read_variants(raw, names, models, problems)
    for variant in variants:
        problems += variant.problems(region)
    plain: dict[str, Any] = {
        name: read_section(kind, raw.get(name), below(f"sd.{name}"), problems)
        for name, kind in PLAIN.items()
    }
    if api := plain["api"]:
        problems += api.problems()
        problems += default_problems(api.default_model, raw.get("variants"))
    if app := plain["app"]:
        problems += app.problems()
    if batch := plain["batch"]:
        for variant in variants:
            problems += variant.engine_problems(batch.enabled)
    if network := plain["network"]:
        problems += network.problems(region)
    if budget := plain["budget"]:
        problems += budget.problems()
    if problems or not all(plain.values()):
        raise SettingsError(problems)
    return Settings(
        region,
        names,
        models,
        tuple(variants),
        tuple(raw["variants"]),
        **plain,
        prices={v.name: price_of(v.instance_type, region, v.price_usd_per_hour) for v in variants},
        bulk_prices={
            v.name: price_of(v.bulk.instance_type, region, v.bulk.price_usd_per_hour)
            for v in variants
        },
        notices=tuple(notice for variant in variants for notice in variant.notices(region)),
    )


def _paths(raw: Mapping[str, Any]) -> Iterator[str]:
    """Every setting, without its "sd."."""
    yield from names_of(AppSettings)
    yield from paths_of(raw)
    models = raw.get("models")
    for name in models if isinstance(models, Mapping) else ():
        yield from (f"models.{name}.{setting}" for setting in names_of(ModelSettings))
    for section, kind in PLAIN.items():
        yield from (f"{section}.{setting}" for setting in names_of(kind))
