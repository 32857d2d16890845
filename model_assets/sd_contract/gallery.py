"""Kept pictures: what the front door tells the gallery's queue of them, where their vectors are,
and what is answered of each.

The vectors of variants that serve the same model are in one index: its text encoder is the same for
all, so distances between them mean something. Those of other models are in others.
"""

# Without `from __future__ import annotations`: a field's parser is found by its type.
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sd_contract.json_fields import AMOUNT, TEXT, Kind, json_object, or_null, read_fields, word
from sd_contract.sampling import STANDARD

MOST_SIMILAR = 100
"""That one query finds (S3 Vectors' top-K, and DynamoDB's BatchGetItem), and a list has at once."""
_ID = re.compile("pic_[0-9a-f]{32}")
ID_PATTERN = f"^{_ID.pattern}$"


def new_id(now_s: float) -> str:
    """A picture's, which sorts by time, to the millisecond."""
    return f"pic_{int(now_s * 1000):012x}{secrets.token_hex(10)}"


def is_id(text: str) -> bool:
    return bool(_ID.fullmatch(text))


def index_name(model_id: str, revision: str) -> str:
    """Of the index with that model's vectors: up to 63 lower-case letters, digits and hyphens
    (S3 Vectors' guide, Limitations and restrictions)."""
    readable = re.sub("[^a-z0-9]+", "-", model_id.lower()).strip("-")[:40].rstrip("-")
    digest = hashlib.sha256(f"{model_id}@{revision}".encode()).hexdigest()[:16]
    return f"{readable or 'model'}-{digest}"


@dataclass(frozen=True)
class Picture:
    """One picture of a request that is to be kept: its `key` in the front door's bucket."""

    id: str
    seed: int
    key: str


@dataclass(frozen=True)
class Drawn:
    """A request whose pictures are to be kept. `index` is that of the model's vectors; `created_at`
    in seconds since the epoch; `strength` is an edit's."""

    model: str
    index: str
    created_at: int
    prompt: str
    negative_prompt: str
    size: str
    num_inference_steps: int
    guidance_scale: float
    strength: float | None
    pictures: tuple[Picture, ...]
    quality: str = STANDARD

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Drawn":
        """Raises ValueError listing every mistake, without the text's own words."""
        values, mistakes = read_fields(cls, json_object(text), _KINDS)
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return cls(**values)

    def kept(self, picture: Picture, expires_at: int) -> "Kept":
        same = {field.name: getattr(self, field.name) for field in fields(self)}
        del same["pictures"]
        ending = picture.key.rpartition(".")[2]
        return Kept(
            **same,
            id=picture.id,
            seed=picture.seed,
            expires_at=expires_at,
            key=f"{picture.id}.{ending}",
        )


@dataclass(frozen=True)
class Kept:
    """A kept picture: all that is known of it, and its `key` in the gallery's bucket."""

    id: str
    created_at: int
    expires_at: int
    model: str
    index: str
    prompt: str
    negative_prompt: str
    size: str
    seed: int
    num_inference_steps: int
    guidance_scale: float
    strength: float | None
    key: str
    quality: str = STANDARD

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Kept":
        """Raises ValueError."""
        values, mistakes = read_fields(cls, json_object(text), _KINDS)
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return cls(**values)

    def public(self, url: str) -> dict[str, Any]:
        """What is answered of it; `url` is where its file is."""
        values = asdict(self)
        del values["index"], values["key"]
        if self.strength is None:
            del values["strength"]
        return {"object": "picture", **values, "url": url}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(value)
    return value


def _pictures(value: Any) -> tuple[Picture, ...]:
    if not isinstance(value, list) or not value:
        raise TypeError(value)
    return tuple(
        Picture(_id(each["id"]), _whole(each["seed"]), word(each["key"])) for each in value
    )


def _id(value: Any) -> str:
    if not is_id(_text(value)):
        raise ValueError
    return str(value)


# A negative prompt may be empty.
_KINDS: Mapping[Any, Kind] = {
    str: ("a string", _text, TEXT[2]),
    int: ("an integer of at least 0", _whole, {"type": "integer", "minimum": 0}),
    float: AMOUNT,
    float | None: or_null(AMOUNT, ", or null"),
    tuple[Picture, ...]: ("a list of pictures", _pictures, {"type": "array"}),
}
