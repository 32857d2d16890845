"""The app's settings, read and checked once.

`load(context)` merges cdk.json's `sd` object, the chosen profile and dotted `-c sd.…` values,
checks all of it and raises one `SettingsError` with every mistake. The values are frozen; nothing
else in the app reads the context.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from stacks.catalogue.images import BaseImage
from stacks.catalogue.prices import Price, price_of
from stacks.settings_checks import (
    Notice,
    compile_problems,
    djl_problems,
    host_notices,
    image_problems,
    model_problems,
    region_problems,
    sdk_problems,
    size_problems,
    time_problems,
)
from stacks.settings_parsing import Problem, SettingsError, merge, read_section, stray_problems
from stacks.settings_sections import (
    ENDPOINT_PREFIX,
    ENGINES,
    GATEWAY_TIMEOUT_S,
    LIMITS,
    LOG_DAYS,
    ROOT,
    VARIANT_PREFIX,
    VARIANTS,
    ApiSettings,
    AppSettings,
    BuildSettings,
    CompileSettings,
    DjlSettings,
    G5Settings,
    Inf2Settings,
    ModelSettings,
    PublicLimits,
    VariantSettings,
)

__all__ = [
    "ENDPOINT_PREFIX",
    "GATEWAY_TIMEOUT_S",
    "LIMITS",
    "LOG_DAYS",
    "ROOT",
    "VARIANTS",
    "VARIANT_PREFIX",
    "ApiSettings",
    "BuildSettings",
    "CompileSettings",
    "DjlSettings",
    "G5Settings",
    "Inf2Settings",
    "ModelSettings",
    "PublicLimits",
    "Settings",
    "SettingsError",
    "VariantSettings",
    "load",
]

V = TypeVar("V", bound=VariantSettings)

SECTIONS = {
    "model": ModelSettings,
    "api": ApiSettings,
    "builds": BuildSettings,
    "compile": CompileSettings,
    "g5": G5Settings,
    "djl": DjlSettings,
    "inf2": Inf2Settings,
}
# Every setting, without its "sd.".
PATHS = (
    *(item.name for item in fields(AppSettings)),
    *(
        f"{name}.{item.name}"
        for name, section in SECTIONS.items()
        for item in fields(section)
        if "rule" in item.metadata
    ),
)


@dataclass(frozen=True)
class Settings:
    region: str
    offered: tuple[str, ...]
    model: ModelSettings
    api: ApiSettings
    builds: BuildSettings
    compile: CompileSettings
    g5: G5Settings
    djl: DjlSettings
    inf2: Inf2Settings
    prices: Mapping[str, Price | None]
    """By variant's name, of those on offer."""
    notices: tuple[Notice, ...]

    @property
    def variants(self) -> tuple[VariantSettings, ...]:
        """Those on offer, in the order g5, djl, inf2."""
        return tuple(v for v in (self.g5, self.djl, self.inf2) if v.name in self.offered)

    def base_image(self, variant: VariantSettings) -> BaseImage:
        return BaseImage.parse(variant.base_image, self.region, variant.base_image_digest)


def load(context: Mapping[str, Any], default_region: str = "us-east-1") -> Settings:
    """Raises SettingsError with every mistake. `default_region` serves where `region` is empty."""
    problems: list[Problem] = []
    raw = merge(context, problems)
    problems += stray_problems(context, PATHS)
    top = {name: value for name, value in raw.items() if name not in SECTIONS}
    app = read_section(AppSettings, top, "sd", problems, others=SECTIONS)
    region = (app and app.region) or default_region
    model = read_section(ModelSettings, raw.get("model"), "sd.model", problems)
    api = read_section(ApiSettings, raw.get("api"), "sd.api", problems)
    builds = read_section(BuildSettings, raw.get("builds"), "sd.builds", problems)

    def variant(kind: type[V], name: str) -> V | None:
        return read_section(
            kind, raw.get(name), f"sd.{name}", problems, name=name, engine=ENGINES[name]
        )

    g5 = variant(G5Settings, "g5")
    djl = variant(DjlSettings, "djl")
    inf2 = variant(Inf2Settings, "inf2")
    compiling = read_section(
        CompileSettings,
        raw.get("compile"),
        "sd.compile",
        problems,
        sizes=inf2.sizes if inf2 else (),
        dtype=inf2.dtype if inf2 else "",
    )

    if model:
        problems += model_problems(model)
    for each in (g5, djl, inf2):
        if each:
            problems += size_problems(each) + image_problems(each) + time_problems(each)
        if each and app and each.name in app.variants:
            problems += region_problems(each, region)
    if djl:
        problems += djl_problems(djl)
    if inf2 and compiling:
        problems += compile_problems(inf2, compiling) + sdk_problems(inf2, compiling)
    if app and api and api.default_model not in app.variants:
        allowed = f"one of sd.variants ({' | '.join(app.variants)})"
        problems.append(Problem("sd.api.default_model", api.default_model, allowed))
    if problems or not (app and model and api and builds and compiling and g5 and djl and inf2):
        raise SettingsError(problems)
    offered = [each for each in (g5, djl, inf2) if each.name in app.variants]
    return Settings(
        region,
        app.variants,
        model,
        api,
        builds,
        compiling,
        g5,
        djl,
        inf2,
        prices={v.name: price_of(v.instance_type, region, v.price_usd_per_hour) for v in offered},
        notices=tuple(n for v in offered for n in host_notices(v, region, compiling)),
    )
