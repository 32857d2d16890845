"""The variants that are deployed, read from their registrations in SSM.

An endpoint stack writes one parameter, `<prefix>/<name>`, a JSON document; destroying the stack
removes it. So this folder is the truth about what can be served, and the only thing that ties the
front door to the endpoints.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from front_door.errors import ModelNotFound, Problem, RegistryError

# A caller who has just deployed a variant, or lists them, shouldn't wait the cache's minute; but
# a stream of wrong names must not become a stream of SSM calls.
REREAD_S = 2.0

_PRICE = ("price_usd_per_hour", "price_date", "price_source")
_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")


class ParameterStore(Protocol):
    """The part of boto3's SSM client that is used."""

    def get_parameters_by_path(self, **kwargs: Any) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Size:
    """In pixels."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Raises ValueError unless `text` is "WxH"."""
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a size such as 512x512")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class Built:
    """What the deploy found out. `quality`: the compiled model's figures, None where none is."""

    base_image_digest: str | None
    quality: Mapping[str, Any] | None


@dataclass(frozen=True)
class Variant:
    """One registration. `seconds_per_step`: per image and denoising step at `sizes[0]`. The price,
    its date and its source are None together. `built` is None for a stack older than it."""

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
    built: Built | None = None

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """Raises ValueError listing every mistake; keys it doesn't know are ignored, so that a
        newer endpoint stack can register with an older front door."""
        try:
            document = json.loads(text)
        except ValueError:
            raise ValueError("is not JSON") from None
        if not isinstance(document, dict):
            raise ValueError("is not a JSON object")
        values: dict[str, Any] = {}
        mistakes: list[str] = []
        for field in fields(cls):
            if field.name not in document and field.default is not MISSING:
                continue
            expected, parse = _PARSERS[field.type]
            try:
                values[field.name] = parse(document[field.name])
            except KeyError:
                mistakes.append(f"{field.name} is missing")
            except (TypeError, ValueError):
                mistakes.append(f"{field.name} must be {expected}")
        if len({values[key] is None for key in _PRICE if key in values}) > 1:
            mistakes.append(f"{', '.join(_PRICE)} must be null together or not at all")
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


def _built(value: Any) -> Built:
    if not isinstance(value, dict):
        raise TypeError(value)
    digest, quality = value.get("base_image_digest"), value.get("quality")
    if not isinstance(digest, str | None) or not isinstance(quality, dict | None):
        raise TypeError(value)
    return Built(digest, quality)


def _or_null(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else parse(value)


_PARSERS: dict[Any, tuple[str, Callable[[Any], Any]]] = {
    str: ("a non-empty string", _string),
    int: ("an integer of at least 1", _positive_int),
    float: ("a number of at least 0", _amount),
    bool: ("true or false", _flag),
    tuple[Size, ...]: ('a list of sizes such as ["512x512"]', _sizes),
    str | None: ("a non-empty string or null", _or_null(_string)),
    float | None: ("a number of at least 0, or null", _or_null(_amount)),
    Built | None: (
        'an object of "base_image_digest" (a string or null) and "quality" (an object or null), '
        "or null",
        _or_null(_built),
    ),
}


@dataclass(frozen=True)
class Registered:
    """A variant and when it was registered (seconds since the epoch)."""

    variant: Variant
    created: int


@dataclass(frozen=True)
class _Reading:
    at: float
    registered: Mapping[str, Registered]
    malformed: Mapping[str, str]


class VariantRegistry:
    """Reads `prefix`, keeps it for `ttl_s`; a fresh reading that fails leaves the last in force."""

    def __init__(
        self,
        ssm: ParameterStore,
        *,
        prefix: str,
        default_model: str,
        ttl_s: float,
        clock: Callable[[], float],
        log: Callable[[dict[str, Any]], None],
    ) -> None:
        self._ssm = ssm
        self._prefix = prefix
        self._default_model = default_model
        self._ttl_s = ttl_s
        self._clock = clock
        self._log = log
        self._last: _Reading | None = None

    def resolve(self, name: str | None) -> Variant:
        """The variant called `name`, or the default one. Raises ModelNotFound, RegistryError."""
        for max_age_s in (self._ttl_s, REREAD_S):
            reading = self._read(max_age_s)
            wanted = self._default_name(reading) if name is None else name
            if wanted is not None and wanted in reading.registered:
                return reading.registered[wanted].variant
        if wanted is not None and wanted in reading.malformed:
            raise RegistryError(f"registration of {wanted}: {reading.malformed[wanted]}")
        deployed = ", ".join(sorted(reading.registered)) or "none"
        raise ModelNotFound(
            Problem(
                f"model: {name[:80]!r} is not deployed (deployed: {deployed})"
                if name is not None
                else f"model: the default, {self._default_model!r}, is not deployed: "
                f"name one that is (deployed: {deployed})",
                "model",
                "model_not_found",
            )
        )

    def refresh(self) -> None:
        """Reads anew whatever the age of the last reading, which a failure leaves in force."""
        self._read(0)

    def listing(self) -> tuple[list[Registered], str | None]:
        """All variants by name, and the default one's name. Raises RegistryError."""
        reading = self._read(REREAD_S)
        default = self._default_name(reading)
        return (
            [reading.registered[name] for name in sorted(reading.registered)],
            default if default in reading.registered else None,
        )

    def _default_name(self, reading: _Reading) -> str | None:
        # A default whose registration is malformed is still the default: to serve another model
        # in its place would hide the mistake.
        if self._default_model in (*reading.registered, *reading.malformed):
            return self._default_model
        flagged = [name for name, entry in reading.registered.items() if entry.variant.default]
        return flagged[0] if len(flagged) == 1 else None

    def _read(self, max_age_s: float) -> _Reading:
        now = self._clock()
        last = self._last
        # A clock set back must not keep a reading alive.
        if last is not None and 0 <= now - last.at < min(max_age_s, self._ttl_s):
            return last
        try:
            parameters = self._parameters()
        except (BotoCoreError, ClientError) as error:
            if last is None:
                raise RegistryError(f"cannot read {self._prefix}: {error}") from error
            self._log({"event": "registrations_not_refreshed", "reason": str(error)})
            self._last = _Reading(now, last.registered, last.malformed)
            return self._last
        self._last = self._parse(now, parameters)
        return self._last

    def _parameters(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            page = self._ssm.get_parameters_by_path(Path=self._prefix, Recursive=False, **token)
            found.extend(page["Parameters"])
            if not page.get("NextToken"):
                return found
            token = {"NextToken": page["NextToken"]}

    def _parse(self, now: float, parameters: list[Mapping[str, Any]]) -> _Reading:
        registered: dict[str, Registered] = {}
        malformed: dict[str, str] = {}
        for parameter in parameters:
            name = parameter["Name"].rsplit("/", 1)[-1]
            try:
                variant = Variant.parse(parameter["Value"])
                if variant.name != name:
                    raise ValueError(f"name is {variant.name!r}, the parameter's is {name!r}")
            except ValueError as error:
                malformed[name] = str(error)
                self._log(
                    {"event": "malformed_registration", "variant": name, "reason": str(error)}
                )
            else:
                created = int(parameter["LastModifiedDate"].timestamp())
                registered[name] = Registered(variant, created)
        return _Reading(now, registered, malformed)
