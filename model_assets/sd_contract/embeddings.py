"""Texts as vectors: what `POST /embeddings` takes, and what a container is asked for it at
`/invocations` and answers.

A text's vector is the text encoder's last hidden state (after its final layer norm) at the text's
end marker, divided by its length, so that a dot product is the cosine. Texts that the model would
draw alike are near each other; vectors of different models have nothing to do with each other.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sd_contract.fields import PROMPT, Allowed, Choice, Field, Text, Whole, read
from sd_contract.invocation import INVALID_REQUEST, ContainerError, Refused

INPUTS = 64
"""Texts a request, at most."""
_INPUT = "input"
_FLOAT = struct.Struct("<f")
# More than any text encoder of these models has.
_DIMENSIONS = Whole(1, 4_096)


@dataclass(frozen=True)
class Texts(Text):
    """A string, or 1 to `most` of them."""

    most: int = 1

    @property
    def expected(self) -> str:
        return f"{super().expected}, or a list of 1 to {self.most} of them"

    def fits(self, value: Any) -> bool:
        return isinstance(value, str) or (
            isinstance(value, list) and all(isinstance(each, str) for each in value)
        )

    def mistake(self, value: str | list[str]) -> str | None:
        if isinstance(value, str):
            return super().mistake(value)
        if not 1 <= len(value) <= self.most:
            return f"must have 1 to {self.most} strings, not {len(value)}"
        for number, each in enumerate(value):
            if mistake := super().mistake(each):
                return f"string {number} {mistake}"
        return None

    def schema(self) -> dict[str, Any]:
        one = super().schema()
        many = {"type": "array", "items": one, "minItems": 1, "maxItems": self.most}
        return {"anyOf": [one, many]}


TEXTS = Texts(PROMPT.low, PROMPT.high, INPUTS)
FIELDS = (
    Field(_INPUT, TEXTS, (_INPUT,), "One text or several, as they would be prompts.", None),
    Field(
        "model", Text(), (), "A variant's `id` in `GET /models`.", "the one marked `default` there"
    ),
    Field(
        "encoding_format",
        Choice(("float", "base64")),
        (),
        "`base64`: each vector's numbers as little-endian float32, one after another.",
        "float",
    ),
    Field(
        "dimensions",
        _DIMENSIONS,
        (),
        "Numbers a vector: as many as the model has, or it is refused.",
        "the model's",
    ),
    Field("user", Text(), (), "Your user's id; logged as a hash only.", ""),
)


def embeddings_invocation(inputs: Sequence[str]) -> bytes:
    """The body of an InvokeEndpoint; 1 to INPUTS texts, each as long as a prompt may be."""
    return json.dumps({_INPUT: list(inputs)}).encode()


def read_embeddings(body: bytes) -> list[list[float]]:
    """The vectors of a container's answer, in the order of the texts. Raises as
    Embeddings.from_json."""
    return [floats(vector) for vector in Embeddings.from_json(body).vectors]


def asks_embeddings(body: bytes) -> bool:
    """Whether a container's request is of texts, not of pictures. Cheap for megabytes of picture:
    within JSON's strings the quotes would be escaped."""
    if b'"input"' not in body:
        return False
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and _INPUT in document


def asked_texts(body: bytes) -> list[str]:
    """Of a request that `asks_embeddings`. Raises Refused."""
    values, problems = read(json.loads(body), {_INPUT: TEXTS}, required=(_INPUT,))
    if problems:
        raise Refused(*problems)
    given = values[_INPUT]
    return [given] if isinstance(given, str) else given


def is_too_old(error: ContainerError) -> bool:
    """Whether a container refuses because it is older than embeddings: to it, `input` is no field
    of a picture."""
    return (error.kind, error.field, error.code) == (INVALID_REQUEST, _INPUT, "unknown_field")


def floats(vector: bytes) -> list[float]:
    return [number for (number,) in _FLOAT.iter_unpack(vector)]


@dataclass(frozen=True)
class Embeddings:
    """A container's answer. `vectors` are little-endian float32, each of length 1, in the order of
    the texts, and equally long. `prompt_tokens` are all texts', as the encoder counts: each with
    its two markers. `warnings` are sentences about what of a text had no effect."""

    vectors: tuple[bytes, ...]
    prompt_tokens: int
    warnings: tuple[str, ...] = ()

    @property
    def dimensions(self) -> int:
        return len(self.vectors[0]) // _FLOAT.size

    def to_json(self) -> bytes:
        vectors = [base64.b64encode(vector).decode() for vector in self.vectors]
        return json.dumps({**vars(self), "vectors": vectors}).encode()

    @classmethod
    def from_json(cls, body: bytes) -> Embeddings:
        """Raises ContainerError where the body is an error's, ValueError where it is neither."""
        try:
            document = json.loads(body)
            if "error" in document:
                raise ContainerError.from_json(body)
            answer = cls(
                tuple(_vector(text) for text in document["vectors"]),
                _count(document["prompt_tokens"]),
                tuple(map(str, document.get("warnings", ()))),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None
        if len({len(vector) for vector in answer.vectors}) != 1:
            raise ValueError("the vectors are none, or not equally long")
        return answer


def _vector(text: str) -> bytes:
    vector = base64.b64decode(text, validate=True)
    if not vector or len(vector) % _FLOAT.size or not all(map(math.isfinite, floats(vector))):
        raise ValueError("a vector is not of finite float32")
    return vector


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"prompt_tokens is {value!r}")
    return value


KNOWN: Mapping[str, Allowed] = {field.name: field.allowed for field in FIELDS}
REQUIRED = tuple(field.name for field in FIELDS if field.default is None)
