"""Everything that can go wrong on the serving path.

    ServingError
    ├── InvalidRequest      400  the caller's mistake; names the parameter
    │   └── BodyTooLarge    413
    ├── EngineError         500  the request was fine, making the picture failed
    │   ├── OutOfMemory     500  memory was given back; the next request may well work
    │   └── NotReady        503  still loading
    ├── ConfigError              start-up: environment variables, all mistakes at once
    └── ModelUnusable            start-up: what lies in the model directory can't be served

The start-up ones never reach a caller: the server logs them as its last line and exits.
"""

from __future__ import annotations

from collections.abc import Sequence


class ServingError(Exception):
    """Base of all errors raised on purpose by this package."""


class InvalidRequest(ServingError):
    """A request that must not be tried again unchanged.

    `param` is the JSON key at fault, None where the body as a whole is.
    """

    kind = "invalid_request"
    status = 400

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class BodyTooLarge(InvalidRequest):
    status = 413


class EngineError(ServingError):
    kind = "engine_error"
    status = 500
    param = None


class OutOfMemory(EngineError):
    pass


class NotReady(EngineError):
    status = 503


class ConfigError(ServingError):
    """Lists every mistake in the environment, each with its variable and the allowed values."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class ModelUnusable(ServingError):
    pass
