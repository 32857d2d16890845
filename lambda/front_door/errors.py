"""Everything that can go wrong, free of HTTP; `api_gateway` turns it into responses.

FrontDoorError
├── RequestError            the caller can mend it; the message is written for the caller
│   ├── InvalidRequest
│   ├── BodyTooLarge
│   ├── ModelNotFound
│   └── RouteNotFound
├── TryAgain                nobody's mistake; the same request may succeed later
│   ├── EndpointThrottled
│   ├── EndpointUnavailable
│   │   └── EndpointNotFound
│   └── EndpointTimeout
└── InternalError           ours to mend; the text is for the log, never for the caller
    ├── RegistryError
    ├── EndpointError
    └── StorageError

(A wrong environment is sd_contract's ConfigError.)
"""

from sd_contract.fields import Problem


class FrontDoorError(Exception):
    """Base of all errors raised on purpose here."""


class RequestError(FrontDoorError):
    """A request the caller has to change. `param` and `code` are the first problem's."""

    def __init__(self, *problems: Problem) -> None:
        self.param = problems[0].field
        self.code = problems[0].code
        super().__init__("; ".join(problem.message for problem in problems))


class InvalidRequest(RequestError):
    """A field is unknown, missing, of the wrong type or out of range, or the body isn't JSON."""


class BodyTooLarge(RequestError):
    """The request body exceeds the configured size."""


class ModelNotFound(RequestError):
    """No registered variant has the name asked for (or none is the default)."""


class RouteNotFound(RequestError):
    """The API has no such method and path."""


class TryAgain(FrontDoorError):
    """The text is for the log."""


class EndpointThrottled(TryAgain):
    """SageMaker takes no more requests just now."""


class EndpointUnavailable(TryAgain):
    """The endpoint isn't in service, takes no more just now, died, or can't be reached."""


class EndpointNotFound(EndpointUnavailable):
    """There is no endpoint of that name: still being made, or gone with its variant."""


class EndpointTimeout(TryAgain):
    """The endpoint's answer would come too late for the gateway."""


class InternalError(FrontDoorError):
    """The text is for the log."""


class RegistryError(InternalError):
    """The variants' registrations can't be read, or the one asked for is malformed."""


class EndpointError(InternalError):
    """The container failed, or answered something outside its contract."""


class StorageError(InternalError):
    """An image couldn't be stored."""
