"""The API's document: prose, paths and examples by hand (openapi.json beside this file, and three
more of the name), what the contract and the tables of this package state from them.

`python -m front_door.openapi docs/openapi.json` writes what holds whatever is deployed.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from front_door.api_gateway import FAILURES, INTERNAL
from front_door.embedding import EMBEDDING
from front_door.errors import InvalidRequest
from front_door.gallery import not_deployed
from front_door.generation import AUTO, EDIT, GENERATION, Form, line_form, parse_fields
from front_door.picture_bucket import KEY_PATTERN
from front_door.request_body import PICTURES
from sd_contract.batch import FILE_BYTES
from sd_contract.fields import EDIT as CONTRACT_EDIT
from sd_contract.fields import SEED, Field, Text
from sd_contract.gallery import ID_PATTERN
from sd_contract.invocation import STAGES
from sd_contract.registration import KINDS, Registration
from sd_contract.size import PATTERN

_BY_HAND = Path(__file__).with_name("openapi.json")
_PARTS = ("embeddings", "batches", "gallery")
_MORE_BY_HAND = [_BY_HAND.with_name(f"openapi_{part}.json") for part in _PARTS]
_MISTAKES: tuple[Mapping[str, Any], ...] = (
    {"prompt": "x", "steps": 30},
    {"prompt": "x", "background": "transparent"},
    {},
    {"prompt": "x", "n": "2"},
    {"prompt": "x", "n": 5},
)
"""Whose answers the document shows."""
_KEPT = [
    "prompt",
    "negative_prompt",
    "quality",
    "seed",
    "num_inference_steps",
    "guidance_scale",
    "strength",
]
"""What is answered of a kept picture as it was asked for."""


def document() -> dict[str, Any]:
    """Whatever is deployed."""
    written: dict[str, Any] = json.loads(_BY_HAND.read_text())
    for more in (json.loads(path.read_text()) for path in _MORE_BY_HAND):
        written["paths"] |= more["paths"]
        for part, found in more["components"].items():
            written["components"][part] |= found
    schemas, responses = (written["components"][part] for part in ("schemas", "responses"))
    schemas["GenerationRequest"] |= _request(GENERATION)
    schemas["EditRequest"] |= _request(EDIT)
    schemas["EditForm"] |= _form(EDIT)
    schemas["EmbeddingRequest"] |= _request(EMBEDDING)
    schemas["GenerationLine"] |= _request(line_form(GENERATION))
    schemas["EditLine"] |= _request(line_form(EDIT))
    schemas["FileAnnouncement"]["properties"]["bytes"]["maximum"] = FILE_BYTES
    schemas["Image"]["properties"]["seed"] = SEED.schema()
    schemas["Timings"] |= _times(*STAGES, "endpoint", "storage", "total")
    kept = schemas["KeptPicture"]["properties"]
    drawn_by = {field.name: field.allowed.schema() for field in CONTRACT_EDIT}
    kept |= {name: drawn_by[name] for name in _KEPT}
    kept["id"]["pattern"] = schemas["Image"]["properties"]["id"]["pattern"] = ID_PATTERN
    schemas["SimilarPicture"]["properties"] |= kept
    answered = schemas["GenerationResponse"]
    of_pictures = {"type": "object", "additionalProperties": False, **_times(*STAGES)}
    schemas["BatchPictures"] |= {
        **answered,
        **schemas["BatchPictures"],
        "properties": {**answered["properties"], "timings_ms": of_pictures},
    }
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
    examples = {name: _examples(response) for name, response in responses.items()}
    for error in map(_refusal, _MISTAKES):
        answer = _error(str(error), "invalid_request_error", error.code, error.param)
        examples["BadRequest"][error.code] = answer
    for response in ("NoKeptPicture", "NoGallery"):
        missing = not_deployed()
        answer = _error(str(missing), "invalid_request_error", missing.code)
        examples[response][missing.code] = answer
    names = {429: "TooMany", 500: "Internal", 503: "Unavailable", 504: "Timeout"}
    for failure in (*FAILURES.values(), INTERNAL):
        answer = _error(failure.message, failure.type, failure.code)
        examples[names[failure.status]][failure.code] = answer
    return written


def text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def picture_schema(url_pattern: str) -> dict[str, Any]:
    """Of a picture in JSON. `url_pattern` is of what stands before a picture's key in its URL."""
    whole = r"[A-Za-z0-9+/]{4}"
    base64 = rf"({whole})*({whole}|[A-Za-z0-9+/]{{3}}=|[A-Za-z0-9+/]{{2}}==)"
    return {
        "anyOf": [
            {"title": "Base64", "pattern": f"^{base64}$", "contentEncoding": "base64"},
            {
                "title": "A data URL",
                "pattern": f"^data:[a-z]+/[a-z0-9.+-]+;base64,{base64}$",
            },
            {
                "title": "The URL of a picture made here, or its key: the end of that",
                "pattern": rf"^({url_pattern})?{KEY_PATTERN}(\?.*)?$",
            },
        ]
    }


def _request(form: Form) -> dict[str, Any]:
    return {
        "required": list(form.required),
        "properties": {
            **{
                field.name: _nullable(
                    {
                        **_property(field),
                        **(picture_schema("https://.+/") if field.name in PICTURES else {}),
                    },
                    field,
                )
                for field in form.fields
            },
            **{field.name: field.schema() for field in form.openai},
        },
    }


def _form(form: Form) -> dict[str, Any]:
    """As texts have no null."""
    files = {"type": "string", "contentMediaType": "application/octet-stream", "minLength": 1}
    return {
        "required": list(form.required),
        "properties": {
            **{
                field.name: {**_property(field), **(files if field.name in PICTURES else {})}
                for field in form.fields
            },
            **{
                field.name: {"enum": list(field.taken), "description": field.about}
                for field in form.openai
                if field.taken
            },
        },
    }


def _property(field: Field) -> dict[str, Any]:
    schema, about = field.allowed.schema(), field.about
    if field.name == "size":
        schema |= {"pattern": f"^({PATTERN}|{AUTO})$", "examples": ["512x512"]}
    if not isinstance(field.allowed, Text) and field.allowed.fits(field.default):
        schema["default"] = field.default
    elif field.default:
        about += f" By default {field.default}."
    return {**schema, "description": about}


def _nullable(schema: Mapping[str, Any], field: Field) -> dict[str, Any]:
    """A null is "not given"."""
    if field.default is None:
        return dict(schema)
    either = {**schema, "type": [schema["type"], "null"]}
    return {**either, "enum": [*schema["enum"], None]} if "enum" in schema else either


def _object(properties: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(properties)
    return {"required": list(found), "properties": found}


def _times(*names: str) -> dict[str, Any]:
    return _object((name, {"type": "number", "minimum": 0}) for name in names)


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


def _examples(response: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = response["content"]["application/json"]["examples"]
    return found


def _error(message: str, kind: str, code: str, param: str | None = None) -> dict[str, Any]:
    return {"value": {"error": {"message": message, "type": kind, "param": param, "code": code}}}


def _refusal(body: Mapping[str, Any]) -> InvalidRequest:
    try:
        parse_fields(body, GENERATION)
    except InvalidRequest as error:
        return error
    raise AssertionError(f"{body} is not refused")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(document()))
