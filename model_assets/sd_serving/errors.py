"""Everything that can go wrong on the serving path.

    ContainerError (sd_contract)
    ├── Refused (sd_contract)   400  the caller's mistake; names the field
    │   └── BodyTooLarge        413
    └── EngineError             500  the request was fine, making the picture failed
        ├── OutOfMemory         500  memory was given back; the next request may well work
        ├── NotFinite           500  of a picture; others drawn with it may be well
        └── NotReady            503  still loading
    ConfigError (sd_contract)        start-up: environment variables, all mistakes at once
    ModelUnusable                    start-up: what lies in the model directory can't be served

The start-up ones never reach a caller: the server logs them as its last line and exits.
"""

from __future__ import annotations

from sd_contract.environment import ConfigError
from sd_contract.fields import Problem
from sd_contract.invocation import ENGINE_ERROR, ContainerError, Refused
from sd_serving.model_unusable import ModelUnusable


class BodyTooLarge(Refused):
    status = 413

    def __init__(self, message: str) -> None:
        super().__init__(Problem("", message, "body_too_large"))


class EngineError(ContainerError):
    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(ENGINE_ERROR, message)


class OutOfMemory(EngineError):
    pass


class NotFinite(EngineError):
    pass


class NotReady(EngineError):
    status = 503


def reason(error: Exception) -> str:
    """In one line; an error that nobody raised on purpose with its type."""
    ours = isinstance(error, ContainerError | ConfigError | ModelUnusable)
    named = "" if ours else f"{type(error).__name__}: "
    return " ".join(f"{named}{error}".split())
