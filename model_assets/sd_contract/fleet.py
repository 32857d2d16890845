"""What batches need to know of a variant: one SSM parameter, which its stack writes and the batch
functions alone read. What callers may know of it is its registration's."""

# Without `from __future__ import annotations`: a field's parser is found by its type.
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sd_contract.json_fields import (
    AMOUNT,
    FLAG,
    TEXT,
    WHOLE,
    Kind,
    json_object,
    or_null,
    read_fields,
    word,
)
from sd_contract.registration import SERVE


@dataclass(frozen=True)
class BulkFleet:
    """A training job of the variant's image, with `instance_count` instances for `max_seconds` of
    running at most. `model_uri`: the artifact's prefix, ending in "/". `environment`: that of the
    serving container. `kms_key_arn`: of the artifact. `price_usd_per_hour`: of one instance on
    demand, since SageMaker bills spot's savings as fewer seconds (DescribeTrainingJob,
    BillableTimeInSeconds). `subnets` and `security_groups`: of the VPC that it runs in, if any."""

    image_uri: str
    role_arn: str
    instance_type: str
    instance_count: int
    spot: bool
    max_seconds: int
    volume_gb: int
    model_uri: str
    environment: Mapping[str, str]
    price_usd_per_hour: float | None
    kms_key_arn: str
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fleet:
    """`serve`: as in the registration. An engine that isn't in it is None."""

    serve: tuple[str, ...]
    async_endpoint_name: str | None
    bulk: BulkFleet | None

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"serve": list(self.serve)}

    def to_json(self) -> str:
        return json.dumps(self.document(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Fleet":
        """Raises ValueError listing every mistake; keys it doesn't know are ignored."""
        values, mistakes = read_fields(cls, json_object(text), _KINDS)
        if bulk := values.get("bulk"):
            inner, wrong = read_fields(BulkFleet, bulk, _BULK_KINDS)
            mistakes += [f"bulk.{mistake}" for mistake in wrong]
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return cls(**{**values, "bulk": BulkFleet(**inner) if bulk else None})


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise TypeError(value)
    return value


def _environment(value: Any) -> Mapping[str, str]:
    return {name: word(text) for name, text in _object(value).items()}


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(value)
    return tuple(map(word, value))


_OBJECT = {"type": "object"}
_BULK_KINDS: Mapping[Any, Kind] = {
    str: TEXT,
    int: WHOLE,
    bool: FLAG,
    float | None: or_null(AMOUNT, ", or null"),
    Mapping[str, str]: ("an object of non-empty strings", _environment, _OBJECT),
    tuple[str, ...]: ("a list of non-empty strings", _words, {"type": "array"}),
}
_KINDS: Mapping[Any, Kind] = {
    tuple[str, ...]: SERVE,
    str | None: or_null(TEXT, " or null"),
    BulkFleet | None: or_null(("an object", _object, _OBJECT), ", or null"),
}
