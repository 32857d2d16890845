"""What is answered, in OpenAI's shapes (its client's ImagesResponse, Image, Model) with more."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from front_door.generation import GenerationRequest
from front_door.variants import Registered
from sd_contract.invocation import Answer, Invocation


def generation_body(
    request: GenerationRequest,
    answer: Answer,
    data: Sequence[Mapping[str, Any]],
    *,
    created: int,
    timings_ms: Mapping[str, float],
) -> dict[str, Any]:
    return pictures_body(
        request.variant.name,
        request.invocation,
        data,
        created=created,
        input_tokens=answer.prompt_tokens,
        instance_ms=answer.instance_ms,
        timings_ms=timings_ms,
        warnings=answer.warnings,
    )


def pictures_body(
    model: str,
    asked: Invocation,
    data: Sequence[Mapping[str, Any]],
    *,
    created: int,
    input_tokens: int,
    instance_ms: float,
    timings_ms: Mapping[str, float],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """Without OpenAI's `quality`: of its values in an answer none says what is done here."""
    body = {
        "created": created,
        "model": model,
        "data": data,
        "size": str(asked.size),
        "output_format": asked.output_format,
        "background": "opaque",
        "usage": {
            "input_tokens": input_tokens,
            "input_tokens_details": {"text_tokens": input_tokens, "image_tokens": 0},
            "output_tokens": 0,
            "total_tokens": input_tokens,
            "images": len(data),
            "steps": len(data) * asked.steps_run,
            "seconds": round(instance_ms / 1000, 3),
        },
        "timings_ms": timings_ms,
    }
    return body | ({"warnings": warnings} if warnings else {})


def picture_bodies(
    answer: Answer, urls: Sequence[str] | None, ids: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """With `urls`, or the pictures themselves where there are none; and the `ids` of kept ones."""
    if urls is None:
        name, values = "b64_json", [base64.b64encode(each).decode() for each in answer.images]
    else:
        name, values = "url", list(urls)
    pictures = [
        {name: value, "seed": seed} for value, seed in zip(values, answer.seeds, strict=True)
    ]
    named = [{"id": id} for id in ids] or [{}] * len(pictures)
    return [{**name, **picture} for name, picture in zip(named, pictures, strict=True)]


def model_body(entry: Registered, default: str | None) -> dict[str, Any]:
    """OpenAI's shape, then what the variant registered; `default` is the one in force."""
    variant = entry.variant
    registered = variant.document()
    del registered["name"]
    return {
        "id": variant.name,
        "object": "model",
        "created": entry.created,
        "owned_by": variant.model_id.split("/")[0],
        **registered,
        "default": variant.name == default,
    }
