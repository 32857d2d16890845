"""The API's document with what is deployed in it: models, sizes, and what can be drawn in time. By
what is registered, so that what it calls valid is accepted."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from front_door import openapi
from front_door.gallery import PATHS as GALLERY_PATHS
from front_door.generation import AUTO, GENERATION, complete, parse_fields
from front_door.openapi import picture_schema
from front_door.picture_time import registered_time
from front_door.request_body import PICTURES
from front_door.time_limit import most_steps
from sd_contract.registration import REAL_TIME, Registration

_BATCHES = ("/files", "/batches")
_REQUESTS = {"GenerationRequest": True, "EditRequest": True, "EditForm": False}
"""The schemas of requests, and whether they have null."""


def document(
    variants: Sequence[Registration],
    default: str | None,
    timeout_s: float,
    *,
    api_url: str,
    pictures_url: str,
    gallery: bool,
) -> dict[str, Any]:
    """`default` is the variant that serves requests which name none; the endpoint has
    `timeout_s`."""
    written = openapi.document()
    written["servers"] = [{"url": api_url}]
    ids = {"enum": [variant.name for variant in variants]}
    written["paths"]["/models/{id}"]["get"]["parameters"][0]["schema"] |= ids if variants else {}
    if not any(variant.batches for variant in variants):
        paths = written["paths"]
        written["paths"] = {path: paths[path] for path in paths if not path.startswith(_BATCHES)}
    if not gallery:
        paths = written["paths"]
        written["paths"] = {path: paths[path] for path in paths if path not in GALLERY_PATHS}
    # The others draw batches alone.
    variants = [variant for variant in variants if REAL_TIME in variant.serve]
    schemas = written["components"]["schemas"]
    if not gallery:
        for name, nullable in _REQUESTS.items():
            none = [None] if nullable else []
            schemas[name]["properties"]["store"]["enum"] = [False, *none]
    for name in PICTURES:
        schemas["EditRequest"]["properties"][name] |= picture_schema(re.escape(pictures_url))
    for name, nullable in _REQUESTS.items():
        schema = schemas[name]
        ways = [
            way
            for variant in variants
            for way in _ways(variant, timeout_s, default=variant.name == default)
        ]
        _put(schema, _grouped(ways), none=[None] if nullable else [])
    names = [variant.name for variant in variants]
    _name(schemas["EmbeddingRequest"], names, named=default not in names)
    return written


def _name(schema: dict[str, Any], models: Sequence[str], *, named: bool) -> None:
    """`named`: one has to be."""
    if models:
        schema["properties"]["model"]["enum"] = [*models, *([] if named else [None])]
        schema["required"] = [*schema["required"], *(["model"] if named else [])]


def _ways(variant: Registration, timeout_s: float, *, default: bool) -> Iterator[dict[str, Any]]:
    """Each says what may be asked for together, as names and as the highest numbers; together they
    are all that the variant draws in time in every mode. Of an edit's steps only a share is done,
    and a mode may be faster, which this leaves out."""
    first = str(variant.sizes[0])
    by_reach: dict[tuple[tuple[int, int], ...], list[str]] = {}
    modes = variant.served_modes
    slowest = max(modes, key=lambda name: modes[name].seconds_per_step)
    for size in map(str, variant.sizes):
        reach: dict[int, int] = {}
        for n in range(1, variant.max_images + 1):
            asked = {"prompt": "x", "n": n, "size": size, "quality": slowest}
            request = complete(parse_fields(asked, GENERATION), variant, lambda: 0)
            if steps := most_steps(request, registered_time(request), timeout_s):
                reach[steps] = n
        by_reach.setdefault(tuple(reach.items()), []).append(size)
    for reached, sizes in by_reach.items():
        for steps, n in reached:
            yield {
                "model": [variant.name],
                "any_model": default,
                "size": [*sizes, AUTO] if first in sizes else sizes,
                "any_size": first in sizes,
                "n": n,
                "num_inference_steps": steps,
                "quality": list(modes),
                "any_steps": max(mode.sampling.steps for mode in modes.values()) <= steps,
            }


def _grouped(ways: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Variants that can do the same, together."""
    grouped: list[dict[str, Any]] = []
    for way in ways:
        same = {name: value for name, value in way.items() if "model" not in name}
        for other in grouped:
            if same == {name: value for name, value in other.items() if "model" not in name}:
                other["model"] = [*other["model"], *way["model"]]
                other["any_model"] = other["any_model"] or way["any_model"]
                break
        else:
            grouped.append(way)
    return grouped


def _put(schema: dict[str, Any], ways: Sequence[dict[str, Any]], none: list[None]) -> None:
    """`none` is what may stand for a value that isn't given."""
    choices = [_schema(way, none) for way in ways]
    if len(choices) == 1:
        [choice] = choices
        schema["required"] = [*schema["required"], *choice.pop("required", [])]
        for name, limits in choice["properties"].items():
            schema["properties"][name] |= limits
    elif choices:
        schema["anyOf"] = choices
        for name in ("model", "size"):
            values = [value for way in ways for value in way[name]]
            schema["properties"][name]["enum"] = [*dict.fromkeys(values), *none]


def _schema(way: Mapping[str, Any], none: list[None]) -> dict[str, Any]:
    properties: dict[str, Any] = {
        name: {"enum": [*way[name], *(none if way[f"any_{name}"] else [])]}
        for name in ("model", "size")
    }
    properties["quality"] = {"enum": [AUTO, *way["quality"], *none]}
    properties["n"] = {"maximum": way["n"]}
    properties["num_inference_steps"] = {"maximum": way["num_inference_steps"]}
    required = [name for name in ("model", "size") if not way[f"any_{name}"]]
    if not way["any_steps"]:
        required.append("num_inference_steps")
        properties["num_inference_steps"]["type"] = "integer"
    return {**({"required": required} if required else {}), "properties": properties}
