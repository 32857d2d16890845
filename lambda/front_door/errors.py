"""Everything that can go wrong, free of HTTP; `api_gateway` turns it into responses.

FrontDoorError
├── RequestError            the caller can mend it; the message is written for the caller
│   ├── InvalidRequest
│   ├── BodyTooLarge
│   ├── ModelNotFound
│   └── RouteNotFound
├── EndpointThrottled       nobody's mistake; the same request may succeed later
├── EndpointUnavailable
│   └── EndpointNotFound
├── EndpointTimeout
├── RegistryError           ours to mend
├── EndpointError
└── StorageError

All but a RequestError's text is for the log, never for the caller.

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


class EndpointThrottled(FrontDoorError):
    """SageMaker takes no more requests just now."""


class EndpointUnavailable(FrontDoorError):
    """The endpoint isn't in service, takes no more just now, died, or can't be reached."""


class EndpointNotFound(EndpointUnavailable):
    """There is no endpoint of that name: still being made, or gone with its variant."""


class EndpointTimeout(FrontDoorError):
    """The endpoint's answer would come too late for the gateway."""


class RegistryError(FrontDoorError):
    """The variants' registrations can't be read, or the one asked for is malformed."""


class EndpointError(FrontDoorError):
    """The container failed, or answered something outside its contract."""


class StorageError(FrontDoorError):
    """An image couldn't be stored."""
