"""The API's document: prose, paths and examples by hand, what the contract states from it.

`python -m front_door.openapi docs/openapi.json` writes that file anew.
"""

import copy
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from front_door.errors import InvalidRequest
from front_door.generation import parse_fields
from sd_contract.fields import GENERATION, REQUIRED, SEED, Field, Text
from sd_contract.invocation import STAGES
from sd_contract.registration import KINDS, Registration
from sd_contract.size import PATTERN

_MISTAKES: tuple[Mapping[str, Any], ...] = (
    {"prompt": "x", "quality": "hd"},
    {},
    {"prompt": "x", "n": "2"},
    {"prompt": "x", "n": 5},
)
"""Whose answers the document shows."""


def filled(document: Mapping[str, Any]) -> dict[str, Any]:
    """`document` with the contract's fields, ranges and messages in place of what it has of them;
    descriptions of what is registered stay as they are."""
    written = copy.deepcopy(dict(document))
    schemas, responses = (written["components"][part] for part in ("schemas", "responses"))
    schemas["GenerationRequest"] |= {
        "required": list(REQUIRED),
        "properties": {field.name: _property(field) for field in GENERATION},
    }
    schemas["Image"]["properties"]["seed"] = SEED.schema()
    stages = (*STAGES, "endpoint", "storage", "total")
    schemas["Timings"] |= _object((stage, {"type": "number", "minimum": 0}) for stage in stages)
    own = ("id", "object", "created", "owned_by")
    described = schemas["Model"]["properties"]
    schemas["Model"] |= _object(
        [
            *((name, described[name]) for name in own),
            *(
                (field.name, _merged(described.get(field.name, {}), KINDS[field.type][2]))
                for field in fields(Registration)
                if field.name != "name"
            ),
        ]
    )
    examples = responses["BadRequest"]["content"]["application/json"]["examples"]
    for body in _MISTAKES:
        error = _refusal(body)
        examples[error.code]["value"]["error"] |= {"message": str(error), "param": error.param}
    return written


def text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _property(field: Field) -> dict[str, Any]:
    schema, about = field.allowed.schema(), field.about
    if field.name == "size":
        schema |= {"pattern": f"^{PATTERN}$", "examples": ["512x512"]}
    if not isinstance(field.allowed, Text) and field.allowed.fits(field.default):
        schema["default"] = field.default
    elif field.default:
        about += f" By default {field.default}."
    return {**schema, "description": about}


def _object(properties: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(properties)
    return {"required": list(found), "properties": found}


def _merged(described: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with the descriptions of `described`, at all depths."""
    merged = dict(schema)
    if "description" in described:
        merged["description"] = described["description"]
    if "properties" in schema:
        merged["properties"] = {
            name: _merged(described.get("properties", {}).get(name, {}), inner)
            for name, inner in schema["properties"].items()
        }
    return merged


def _refusal(body: Mapping[str, Any]) -> InvalidRequest:
    try:
        parse_fields(body)
    except InvalidRequest as error:
        return error
    raise AssertionError(f"{body} is not refused")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(text(filled(json.loads(place.read_text()))))
