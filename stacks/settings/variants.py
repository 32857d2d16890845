"""`sd.kinds` and `sd.variants`: a variant is its kind's defaults under its own entries."""

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.settings.context import overlaid
from stacks.settings.diffusers import DiffusersSettings
from stacks.settings.djl import DjlSettings
from stacks.settings.models import entries
from stacks.settings.names import ASYNC, TAKEN, VARIANT, Names
from stacks.settings.neuron import NeuronSettings
from stacks.settings.problems import MISSING, Problem
from stacks.settings.reading import Where, below, names_of, read_section
from stacks.settings.variant import VariantSettings

KINDS: Mapping[str, type[VariantSettings]] = {
    kind.kind: kind for kind in (DiffusersSettings, DjlSettings, NeuronSettings)
}


def read_variants(
    raw: Mapping[str, Any], names: Names, models: Mapping[str, object], problems: list[Problem]
) -> list[VariantSettings]:
    """Those on offer that have no problem."""
    kinds = _kinds(raw.get("kinds"), problems)
    found = []
    for name, own in entries("sd.variants", raw.get("variants"), VARIANT, problems).items():
        where = below(f"sd.variants.{name}")
        # As it would collide with <Name>CompileStack as well.
        if name in TAKEN or name.endswith("compile"):
            allowed = f"a name other than {', '.join(TAKEN)} and …compile, which are stacks' own"
            problems.append(Problem(where(""), own, allowed))
        elif name == ASYNC:
            allowed = f"a name other than {ASYNC}, which ends asynchronous endpoints' names"
            problems.append(Problem(where(""), own, allowed))
        kind = own.get("kind", MISSING)
        if kind not in KINDS:
            problems.append(Problem(where("kind"), kind, " | ".join(KINDS)))
            continue
        changes = {setting: value for setting, value in own.items() if setting != "kind"}
        variant = read_section(
            KINDS[kind],
            overlaid(kinds.get(kind, {}), changes),
            _where_it_stands(where, changes, below(f"sd.kinds.{kind}")),
            problems,
            name=name,
            names=names,
        )
        if variant and variant.model not in models:
            problems.append(variant.problem("model", f"one of sd.models ({' | '.join(models)})"))
        elif variant:
            found.append(variant)
    return found


def _kinds(raw: object, problems: list[Problem]) -> Mapping[str, Mapping[str, Any]]:
    """The defaults by kind, checked also where no variant takes them."""
    if not isinstance(raw, Mapping):
        problems.append(Problem("sd.kinds", MISSING if raw is None else raw, "an object"))
        return {}
    found = {}
    for name, defaults in raw.items():
        where = below(f"sd.kinds.{name}")
        if name not in KINDS:
            problems.append(Problem(where(""), defaults, " | ".join(KINDS)))
        elif isinstance(defaults, Mapping):
            read_section(KINDS[name], defaults, where, problems, partly=True)
            known = {setting.split(".")[0] for setting in names_of(KINDS[name])}
            found[name] = {setting: defaults[setting] for setting in defaults if setting in known}
        else:
            problems.append(Problem(where(""), defaults, "an object"))
    return found


def _where_it_stands(own: Where, changes: Mapping[str, Any], default: Where) -> Where:
    def where(name: str) -> str:
        value: Any = changes
        for part in filter(None, name.split(".")):
            if not isinstance(value, Mapping) or part not in value:
                # No kind can know which model.
                return own(name) if name == "model" else default(name)
            value = value[part]
        return own(name)

    return where


def default_problems(default: str, raw: object) -> list[Problem]:
    """Of the variant that serves requests which name none."""
    if not isinstance(raw, Mapping):
        return []
    offered = [name for name, own in raw.items() if own]
    allowed = f"one of sd.variants ({' | '.join(offered)})"
    return [] if default in offered else [Problem("sd.api.default_model", default, allowed)]


def paths_of(raw: Mapping[str, Any]) -> Iterator[str]:
    """Every setting of kinds and variants, without its "sd."."""
    for name, kind in KINDS.items():
        yield from (f"kinds.{name}.{setting}" for setting in names_of(kind))
    variants = raw.get("variants")
    for name, own in variants.items() if isinstance(variants, Mapping) else ():
        yield f"variants.{name}.kind"
        if isinstance(own, Mapping) and own.get("kind") in KINDS:
            yield from (f"variants.{name}.{setting}" for setting in names_of(KINDS[own["kind"]]))
