"""What a variant says of itself once it is in service: one SSM parameter, which its stack writes
and the front door reads, and through `GET /v1/models` everybody else."""

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
from sd_contract.sampling import MODES, RANGES, STANDARD, Sampling
from sd_contract.size import PATTERN, Size

REAL_TIME, ASYNC, BULK = SERVES = ("real-time", "async", "bulk")
"""How a variant may make pictures: an endpoint that answers, one that takes requests by S3 and can
be at zero instances, and training jobs on spot instances."""


@dataclass(frozen=True)
class Built:
    """What the deploy found out. `quality`: the compiled model's figures, None where none is."""

    base_image_digest: str | None
    quality: Mapping[str, Any] | None


@dataclass(frozen=True)
class Stopped:
    """An endpoint that was taken out of service: `since` (ISO 8601), `why`, and the command that
    brings it back."""

    since: str
    why: str
    start: str


@dataclass(frozen=True)
class Mode:
    """`seconds_per_step` is the mean of its steps, of one image at the first size; `evaluations`
    are the rows that a guided picture takes through the UNet."""

    sampling: Sampling
    seconds_per_step: float

    @classmethod
    def of(cls, sampling: Sampling, guided_step_s: float) -> "Mode":
        """By the rows of its steps. What a step saves that takes over another's deep half is left
        out: it is known where it was measured, and answers tell."""
        return cls(sampling, round(guided_step_s * sampling.mean_rows / 2, 6))

    def document(self) -> dict[str, Any]:
        return {
            **self.sampling.document(),
            "evaluations": self.sampling.evaluations,
            "seconds_per_step": self.seconds_per_step,
        }


@dataclass(frozen=True)
class Registration:
    """`seconds_per_step`: of one image and guided denoising step at `sizes[0]`. The price is of one
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
    serve: tuple[str, ...] = (REAL_TIME,)
    """SERVES that it has, in their order. Without "real-time" no endpoint answers `endpoint_name`,
    and its pictures are made in batches."""
    endpoint_config: str | None = None
    """Of its real-time endpoint's: all it takes to make a stopped one again."""
    modes: Mapping[str, Mode] | None = None
    """By a request's `quality`; `default_steps` are the first's. None for a stack older than it."""
    stopped: Stopped | None = None
    """Written by what stops it (lambda/idle_guard), and gone once it is started. No deploy writes
    it: whether there is an endpoint SageMaker knows, and this says why not."""

    @property
    def served_modes(self) -> Mapping[str, Mode]:
        """By a request's `quality`; of a stack older than modes the one there is."""
        return self.modes or {STANDARD: Mode(Sampling(self.default_steps), self.seconds_per_step)}

    @property
    def batches(self) -> bool:
        """Whether it was deployed beside batches; older stacks tell of requests alone."""
        return self.serve != (REAL_TIME,)

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        modes = None
        if self.modes is not None:
            modes = {name: mode.document() for name, mode in self.modes.items()}
        return asdict(self) | {"sizes": list(map(str, self.sizes)), "modes": modes}

    def to_json(self) -> str:
        return json.dumps(self.document(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Registration":
        """Raises ValueError listing every mistake; keys it doesn't know are ignored, so that a
        newer endpoint stack can register with an older front door."""
        return cls.from_document(json_object(text))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Registration":
        """As `from_json`, of what `document()` gave."""
        values, mistakes = read_fields(cls, document, KINDS)
        if len({values[name] is None for name in _PRICE if name in values}) > 1:
            mistakes.append(f"{', '.join(_PRICE)} must be null together or not at all")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return cls(**values)


def start_command(variant: str, prefix: str, region: str) -> str:
    """What brings a stopped endpoint back, in a checkout of the app."""
    where = f"-c sd.prefix={prefix} -c sd.region={region}"
    return f".venv/bin/python -m operations start {variant} {where}"


_PRICE = ("price_usd_per_hour", "price_date", "price_source")


def _sizes(value: Any) -> tuple[Size, ...]:
    if not isinstance(value, list) or not value:
        raise TypeError(value)
    return tuple(Size.parse(word(item)) for item in value)


def _built(value: Any) -> Built:
    if not isinstance(value, dict):
        raise TypeError(value)
    digest, quality = value.get("base_image_digest"), value.get("quality")
    if not isinstance(digest, str | None) or not isinstance(quality, dict | None):
        raise TypeError(value)
    return Built(digest, quality)


def _modes(value: Any) -> dict[str, Mode]:
    if not isinstance(value, dict) or STANDARD not in value:
        raise TypeError(value)
    # A mode that an older front door doesn't know can't be asked for there.
    return {name: _mode(value[name]) for name in MODES if name in value}


def _mode(value: Any) -> Mode:
    if not isinstance(value, dict):
        raise TypeError(value)
    known = {name: value[name] for name in RANGES if name in value}
    return Mode(Sampling.from_document(known), AMOUNT[1](value.get("seconds_per_step")))


def _stopped(value: Any) -> Stopped:
    if not isinstance(value, dict):
        raise TypeError(value)
    return Stopped(*(word(value.get(name)) for name in ("since", "why", "start")))


def _serve(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or [s for s in SERVES if s in value] != value:
        raise ValueError(value)
    return tuple(value)


SERVE: Kind = (
    f"a list of {', '.join(SERVES)}, each once at most, in this order",
    _serve,
    {
        "type": "array",
        "items": {"type": "string", "enum": list(SERVES)},
        "minItems": 1,
    },
)
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
_STOPPED: Kind = (
    'an object of "since", "why" and "start", texts',
    _stopped,
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["since", "why", "start"],
        "properties": {name: {"type": "string"} for name in ("since", "why", "start")},
    },
)
_MODE_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": [*RANGES, "evaluations", "seconds_per_step"],
    "properties": {
        **{name: allowed.schema() for name, allowed in RANGES.items()},
        "evaluations": WHOLE[2],
        "seconds_per_step": AMOUNT[2],
    },
}
_MODES: Kind = (
    f"an object of {' and '.join(MODES)}, the first required, each with {', '.join(RANGES)} and "
    "seconds_per_step",
    _modes,
    {
        "type": "object",
        "required": [STANDARD],
        "properties": dict.fromkeys(MODES, _MODE_SCHEMA),
    },
)
KINDS: Mapping[Any, Kind] = {
    str: TEXT,
    int: WHOLE,
    float: AMOUNT,
    bool: FLAG,
    str | None: or_null(TEXT, " or null"),
    float | None: or_null(AMOUNT, ", or null"),
    tuple[Size, ...]: (
        'a list of sizes such as ["512x512"]',
        _sizes,
        {
            "type": "array",
            "items": {"type": "string", "pattern": f"^{PATTERN}$"},
            "minItems": 1,
        },
    ),
    Built | None: or_null(_BUILT, ", or null"),
    Mapping[str, Mode] | None: or_null(_MODES, ", or null"),
    Stopped | None: or_null(_STOPPED, ", or null"),
    tuple[str, ...]: SERVE,
}
"""By the type of a Registration's field."""
