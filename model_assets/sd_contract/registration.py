"""What a variant says of itself once it is in service: one SSM parameter, which its stack writes
and the front door reads, and through `GET /v1/models` everybody else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

from sd_contract.size import Size


@dataclass(frozen=True)
class Registration:
    """`seconds_per_step`: of one image and denoising step at `sizes[0]`. `built` is what only the
    builds know: the base image's digest, a compiled model's figures."""

    name: str
    endpoint_name: str
    engine: str
    instance_type: str
    instance_count: int
    price_usd_per_hour: float | None
    """Of one instance; None where nobody knows it, `price_date` and `price_source` as well."""
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
    built: Mapping[str, Any] | None

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"sizes": list(map(str, self.sizes))}

    def to_json(self) -> str:
        return json.dumps(self.document(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Registration:
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
    def from_document(cls, document: Mapping[str, Any]) -> Registration:
        hints = get_type_hints(cls)
        values: dict[str, Any] = {}
        mistakes: list[str] = []
        for item in fields(cls):
            expected, parse = _PARSERS[hints[item.name]]
            try:
                # None: an older stack's may lack what came later.
                values[item.name] = parse(document.get(item.name))
            except (TypeError, ValueError):
                absent = item.name not in document
                mistakes.append(f"{item.name} {'is missing' if absent else 'must be ' + expected}")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return cls(**values)


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


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(value)
    return value


def _or_none(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else parse(value)


_PARSERS: Mapping[Any, tuple[str, Callable[[Any], Any]]] = {
    str: ("a non-empty string", _string),
    int: ("an integer of at least 1", _positive_int),
    float: ("a number of at least 0", _amount),
    bool: ("true or false", _flag),
    str | None: ("a non-empty string or null", _or_none(_string)),
    float | None: ("a number of at least 0, or null", _or_none(_amount)),
    tuple[Size, ...]: ('a list of sizes such as ["512x512"]', _sizes),
    Mapping[str, Any] | None: ("an object or null", _or_none(_object)),
}
