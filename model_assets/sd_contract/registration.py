"""What a variant says of itself once it is in service: one SSM parameter, which its stack writes
and the front door reads, and through `GET /v1/models` everybody else."""

# Without `from __future__ import annotations`: a field's parser is found by its type.
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from sd_contract.size import PATTERN, Size


@dataclass(frozen=True)
class Built:
    """What the deploy found out. `quality`: the compiled model's figures, None where none is."""

    base_image_digest: str | None
    quality: Mapping[str, Any] | None


@dataclass(frozen=True)
class Registration:
    """`seconds_per_step`: of one image and denoising step at `sizes[0]`. The price is of one
    instance; it, its date and its source are None together. `built` is None for a stack older than
    it."""

    name: str
    endpoint_name: str
    engine: str
    instance_type: str
    instance_count: int
    price_usd_per_hour: float | None
    price_date: str | None
    price_source: str | None
    region: str
    sizes: tuple[Size, ...]
    max_images: int
    default_steps: int
    max_steps: int
    default_guidance_scale: float
    seconds_per_step: float
    model_id: str
    revision: str
    license: str
    license_url: str
    artifact_key: str
    default: bool
    """Whether it serves requests that name no model."""
    built: Built | None = None

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"sizes": list(map(str, self.sizes))}

    def to_json(self) -> str:
        return json.dumps(self.document(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Registration":
        """Raises ValueError listing every mistake; keys it doesn't know are ignored, so that a
        newer endpoint stack can register with an older front door."""
        try:
            document = json.loads(text)
        except ValueError:
            raise ValueError("is not JSON") from None
        if not isinstance(document, dict):
            raise ValueError("is not a JSON object")
        return cls.from_document(document)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Registration":
        """As `from_json`, of what `document()` gave."""
        values: dict[str, Any] = {}
        mistakes: list[str] = []
        for item in fields(cls):
            if item.name not in document and item.default is not MISSING:
                continue
            expected, parse, _ = KINDS[item.type]
            try:
                values[item.name] = parse(document[item.name])
            except KeyError:
                mistakes.append(f"{item.name} is missing")
            except (TypeError, ValueError):
                mistakes.append(f"{item.name} must be {expected}")
        if len({values[name] is None for name in _PRICE if name in values}) > 1:
            mistakes.append(f"{', '.join(_PRICE)} must be null together or not at all")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return cls(**values)


_PRICE = ("price_usd_per_hour", "price_date", "price_source")


def _string(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(value)
    return value


def _positive_int(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise TypeError(value)
    return value


def _amount(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise TypeError(value)
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _sizes(value: Any) -> tuple[Size, ...]:
    if not isinstance(value, list) or not value:
        raise TypeError(value)
    return tuple(Size.parse(_string(item)) for item in value)


def _built(value: Any) -> Built:
    if not isinstance(value, dict):
        raise TypeError(value)
    digest, quality = value.get("base_image_digest"), value.get("quality")
    if not isinstance(digest, str | None) or not isinstance(quality, dict | None):
        raise TypeError(value)
    return Built(digest, quality)


Kind = tuple[str, Callable[[Any], Any], Mapping[str, Any]]
"""What a value of some type is in JSON: in words, as a parser that raises TypeError or ValueError,
and as JSON Schema."""


def _or_null(kind: Kind, words: str) -> Kind:
    expected, parse, schema = kind
    return (
        expected + words,
        lambda value: None if value is None else parse(value),
        {**schema, "type": [schema["type"], "null"]},
    )


_TEXT: Kind = ("a non-empty string", _string, {"type": "string"})
_AMOUNT: Kind = ("a number of at least 0", _amount, {"type": "number", "minimum": 0})
_BUILT: Kind = (
    'an object of "base_image_digest" (a string or null) and "quality" (an object or null)',
    _built,
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["base_image_digest", "quality"],
        "properties": {
            "base_image_digest": {"type": ["string", "null"]},
            "quality": {"type": ["object", "null"]},
        },
    },
)
KINDS: Mapping[Any, Kind] = {
    str: _TEXT,
    int: ("an integer of at least 1", _positive_int, {"type": "integer", "minimum": 1}),
    float: _AMOUNT,
    bool: ("true or false", _flag, {"type": "boolean"}),
    str | None: _or_null(_TEXT, " or null"),
    float | None: _or_null(_AMOUNT, ", or null"),
    tuple[Size, ...]: (
        'a list of sizes such as ["512x512"]',
        _sizes,
        {
            "type": "array",
            "items": {"type": "string", "pattern": f"^{PATTERN}$"},
            "minItems": 1,
        },
    ),
    Built | None: _or_null(_BUILT, ", or null"),
}
"""By the type of a Registration's field."""
