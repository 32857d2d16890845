"""Texts as vectors: what a request asks for, and its answer in OpenAI's shape."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from front_door.errors import InvalidRequest
from front_door.generation import Form
from sd_contract.embeddings import FIELDS, Embeddings, floats
from sd_contract.fields import Problem, read
from sd_contract.registration import Registration

EMBEDDING = Form(FIELDS, ())


@dataclass(frozen=True)
class EmbeddingRequest:
    """None: not given."""

    texts: tuple[str, ...]
    model: str | None = None
    encoding_format: str | None = None
    dimensions: int | None = None
    user: str | None = None


def parse_embedding(body: Mapping[str, Any]) -> EmbeddingRequest:
    """Raises InvalidRequest with every problem found."""
    values, problems = read(body, EMBEDDING.known, EMBEDDING.required)
    if problems:
        raise InvalidRequest(*problems)
    given = values.pop("input")
    return EmbeddingRequest((given,) if isinstance(given, str) else tuple(given), **values)


def embedding_body(
    asked: EmbeddingRequest, variant: Registration, answer: Embeddings
) -> dict[str, Any]:
    """OpenAI's CreateEmbeddingResponse, with warnings. Raises InvalidRequest if the vectors are not
    as long as asked for."""
    if asked.dimensions not in (None, answer.dimensions):
        message = (
            f"dimensions: must be {answer.dimensions} for model {variant.name!r}, "
            f"not {asked.dimensions}"
        )
        raise InvalidRequest(Problem("dimensions", message, "out_of_range"))
    in_base64 = asked.encoding_format == "base64"
    body = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector).decode() if in_base64 else floats(vector),
            }
            for index, vector in enumerate(answer.vectors)
        ],
        "model": variant.name,
        "usage": {"prompt_tokens": answer.prompt_tokens, "total_tokens": answer.prompt_tokens},
    }
    return body | ({"warnings": answer.warnings} if answer.warnings else {})
