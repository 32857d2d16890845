"""The variants that are deployed, read from their registrations in SSM.

An endpoint stack writes one parameter, `<prefix>/<name>`, a JSON document; destroying the stack
removes it. So this folder is the truth about what can be served, and the only thing that ties the
front door to the endpoints.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from front_door.errors import ModelNotFound, RegistryError
from sd_contract.fields import Problem
from sd_contract.registration import Registration

# A caller who has just deployed a variant, or lists them, shouldn't wait the cache's minute; but
# a stream of wrong names must not become a stream of SSM calls.
REREAD_S = 2.0


class ParameterStore(Protocol):
    """The part of boto3's SSM client that is used."""

    def get_paginator(self, operation: str) -> Any: ...


@dataclass(frozen=True)
class Registered:
    """A variant and when it was registered (seconds since the epoch)."""

    variant: Registration
    created: int


@dataclass(frozen=True)
class _Reading:
    at: float
    registered: Mapping[str, Registered]
    malformed: Mapping[str, str]


@dataclass
class VariantRegistry:
    """Reads `prefix`, keeps it for `ttl_s`; a fresh reading that fails leaves the last in force."""

    ssm: ParameterStore
    prefix: str
    default_model: str
    ttl_s: float
    clock: Callable[[], float]
    log: Callable[[dict[str, Any]], None]
    _last: _Reading | None = field(default=None, init=False)

    def resolve(self, name: str | None) -> Registration:
        """The variant called `name`, or the default one. Raises ModelNotFound, RegistryError."""
        for max_age_s in (self.ttl_s, REREAD_S):
            reading = self._read(max_age_s)
            wanted = self._default_name(reading) if name is None else name
            if wanted is not None and wanted in reading.registered:
                return reading.registered[wanted].variant
        raise self._not_found(name, wanted, reading)

    def _not_found(
        self, name: str | None, wanted: str | None, reading: _Reading
    ) -> ModelNotFound | RegistryError:
        """`wanted` is `name`, or where that is None the default's."""
        if wanted is not None and wanted in reading.malformed:
            return RegistryError(f"registration of {wanted}: {reading.malformed[wanted]}")
        deployed = ", ".join(sorted(reading.registered)) or "none"
        return ModelNotFound(
            Problem(
                "model",
                f"model: {name[:80]!r} is not deployed (deployed: {deployed})"
                if name is not None
                else f"model: the default, {self.default_model!r}, is not deployed: "
                f"name one that is (deployed: {deployed})",
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

    def find(self, name: str) -> tuple[Registered, str | None]:
        """That of `listing`, and the default one's name. Raises ModelNotFound, RegistryError."""
        reading = self._read(REREAD_S)
        if name not in reading.registered:
            raise self._not_found(name, name, reading)
        return reading.registered[name], self._default_name(reading)

    def _default_name(self, reading: _Reading) -> str | None:
        # A default whose registration is malformed is still the default: to serve another model
        # in its place would hide the mistake.
        if self.default_model in (*reading.registered, *reading.malformed):
            return self.default_model
        flagged = [name for name, entry in reading.registered.items() if entry.variant.default]
        return flagged[0] if len(flagged) == 1 else None

    def _read(self, max_age_s: float) -> _Reading:
        now = self.clock()
        last = self._last
        # A clock set back must not keep a reading alive.
        if last is not None and 0 <= now - last.at < min(max_age_s, self.ttl_s):
            return last
        try:
            parameters = self._parameters()
        except (BotoCoreError, ClientError) as error:
            if last is None:
                raise RegistryError(f"cannot read {self.prefix}: {error}") from error
            self.log({"event": "registrations_not_refreshed", "reason": str(error)})
            self._last = replace(last, at=now)
        else:
            self._last = self._parse(now, parameters)
        return self._last

    def _parameters(self) -> list[Mapping[str, Any]]:
        pages = self.ssm.get_paginator("get_parameters_by_path").paginate(Path=self.prefix)
        return [parameter for page in pages for parameter in page["Parameters"]]

    def _parse(self, now: float, parameters: list[Mapping[str, Any]]) -> _Reading:
        registered: dict[str, Registered] = {}
        malformed: dict[str, str] = {}
        for parameter in parameters:
            name = parameter["Name"].rsplit("/", 1)[-1]
            try:
                variant = Registration.from_json(parameter["Value"])
                if variant.name != name:
                    raise ValueError(f"name is {variant.name!r}, the parameter's is {name!r}")
            except ValueError as error:
                malformed[name] = str(error)
                self.log({"event": "malformed_registration", "variant": name, "reason": str(error)})
            else:
                created = int(parameter["LastModifiedDate"].timestamp())
                registered[name] = Registered(variant, created)
        return _Reading(now, registered, malformed)
