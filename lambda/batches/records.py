"""Files and batches: as the table keeps them, and as the API shows them (OpenAI's File, Batch)."""

# Without `from __future__ import annotations`: an attribute is read by its field's type.
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

VALIDATING, IN_PROGRESS, FINALIZING, CANCELLING = (
    "validating",
    "in_progress",
    "finalizing",
    "cancelling",
)
COMPLETED, FAILED, EXPIRED, CANCELLED = ENDS = ("completed", "failed", "expired", "cancelled")
"""Statuses, OpenAI's. The last four are for good. `failed`: a line is wrong, and nothing ran."""
REQUESTS, OUTPUT = "batch", "batch_output"
"""Files' purposes, OpenAI's: what is uploaded, and what comes of it."""
GENERATIONS, EDITS = ENDPOINTS = ("/v1/images/generations", "/v1/images/edits")
DRAWING = (IN_PROGRESS, CANCELLING, FINALIZING)

T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True)
class File:
    """`upload_bytes`: how many are still to be PUT, by whoever asked for a URL; 0 once stored."""

    id: str
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    key: str
    """In the batches' bucket."""
    bytes: int
    upload_bytes: int = 0

    def public(self) -> dict[str, Any]:
        """Where bytes are missing the status says so, which OpenAI has no word for."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes or self.upload_bytes,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "pending" if self.upload_bytes else "processed",
        }


@dataclass(frozen=True)
class Batch:
    """Times are in seconds since the epoch."""

    id: str
    created_at: int
    expires_at: int
    """When the record goes."""
    deadline: int
    """What OpenAI calls `expires_at`: when it ends, done or not."""
    completion_window: str
    endpoint: str
    input_file_id: str
    status: str = VALIDATING
    metadata: Mapping[str, str] | None = None
    model: str = ""
    """Of all its lines; this and what follows is known once it is checked."""
    engine: str = ""
    """One of the registration's SERVES."""
    total: int = 0
    """Lines."""
    images: int = 0
    """Asked for."""
    parts: int = 0
    """Of its work."""
    price_usd_per_hour: float | None = None
    """Of one instance of the engine."""
    completed: int = 0
    """Lines, of which a line with a picture that failed is not one."""
    failed: int = 0
    """Lines that ended otherwise."""
    pictures: int = 0
    """Drawn."""
    instance_ms: int = 0
    """What the pictures took."""
    input_tokens: int = 0
    """Of the prompts."""
    billed_s: int | None = None
    """Of a bulk job: its instances' seconds together, start-up and all, over all its tries."""
    job: str = ""
    """The bulk job's name at SageMaker, the last try's."""
    tries: int = 0
    """Of the bulk job."""
    closed: bool = False
    """Nothing counts any more: the result is being put together."""
    told: bool = False
    """Whether EventBridge has been told its end."""
    errors: tuple[Mapping[str, Any], ...] = ()
    """What is wrong with its lines: `code`, `line`, `message`, `param`."""
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None

    @property
    def all_counted(self) -> bool:
        return 0 < self.total <= self.completed + self.failed

    @property
    def instance_seconds(self) -> float:
        return self.instance_ms / 1000 if self.billed_s is None else float(self.billed_s)

    @property
    def cost_usd(self) -> float | None:
        if self.price_usd_per_hour is None:
            return None
        return round(self.instance_seconds / 3600 * self.price_usd_per_hour, 6)

    def public(self) -> dict[str, Any]:
        values = vars(self)
        same = (
            *("id", "endpoint", "input_file_id", "completion_window", "status", "metadata"),
            *("output_file_id", "error_file_id"),
            *(name for name in values if name.endswith("_at")),
        )
        return {
            "object": "batch",
            **{name: values[name] for name in same},
            "expires_at": self.deadline,
            "errors": {"object": "list", "data": list(self.errors)} if self.errors else None,
            "request_counts": {
                "total": self.total,
                "completed": self.completed,
                "failed": self.failed,
            },
            "model": self.model or None,
            "engine": self.engine or None,
            "usage": {
                "input_tokens": self.input_tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 0,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": self.input_tokens,
                "pictures": self.pictures,
                "instance_seconds": round(self.instance_seconds, 3),
                "price_usd_per_hour": self.price_usd_per_hour,
                "cost_usd": self.cost_usd,
            },
        }


def to_attribute(value: Any) -> dict[str, Any]:
    """DynamoDB's. What is neither text, number nor flag is kept as JSON."""
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int | float):
        return {"N": repr(value)}
    return {"S": value if isinstance(value, str) else json.dumps(value)}


def to_item(record: Any) -> dict[str, Any]:
    """A dataclass's values, without those that are None."""
    return {name: to_attribute(value) for name, value in vars(record).items() if value is not None}


def from_item(cls: type[T], item: Mapping[str, Any]) -> T:
    values = {
        field.name: _value(field.type, item[field.name])
        for field in fields(cls)
        if field.name in item
    }
    return cls(**values)


def _value(kind: Any, attribute: Mapping[str, Any]) -> Any:
    [(tag, value)] = attribute.items()
    if tag == "BOOL":
        return value
    if tag == "N":
        return int(value) if kind in (int, int | None) else float(value)
    if kind in (str, str | None):
        return value
    parsed = json.loads(value)
    return tuple(parsed) if isinstance(parsed, list) else parsed
