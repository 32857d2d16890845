"""Everything that can go wrong, free of HTTP; `api_gateway` turns it into responses.

FrontDoorError
├── RequestError            the caller can mend it; the message is written for the caller
│   ├── InvalidRequest
│   ├── BodyTooLarge
│   ├── ModelNotFound
│   ├── PictureNotFound
│   ├── RecordNotFound
│   ├── Conflict
│   ├── GalleryNotDeployed
│   ├── RouteNotFound
│   └── MethodNotAllowed
├── EndpointThrottled       nobody's mistake; the same request may succeed later
├── EndpointUnavailable
│   ├── EndpointNotFound
│   │   └── EndpointStopped
│   ├── EndpointAtZero
│   ├── EndpointOverloaded
│   ├── EndpointDied
│   └── EndpointTooOld
├── EndpointTimeout
├── RegistryError           ours to mend
├── EndpointError
├── SigningError
├── GalleryError
└── StorageError

All but a RequestError's text, and the command that starts a stopped endpoint, is for the log, never
for the caller.

(A wrong environment is sd_contract's ConfigError.)
"""

from typing import ClassVar

from sd_contract.fields import Problem


class FrontDoorError(Exception):
    """Base of all errors raised on purpose here."""

    not_drawn: ClassVar[bool] = False
    """Whether it says for certain that no container has worked on the request."""
    passing: ClassVar[bool] = False
    """Whether, besides, it may have passed in a second."""


class RequestError(FrontDoorError):
    """A request the caller has to change. `param` and `code` are the first problem's."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        self.param = problems[0].field
        self.code = problems[0].code
        super().__init__("; ".join(problem.message for problem in problems))


class InvalidRequest(RequestError):
    """A field is unknown, missing, of the wrong type or out of range, or the body isn't JSON."""


class BodyTooLarge(RequestError):
    """The request is larger than what is configured, or than SageMaker takes."""


class ModelNotFound(RequestError):
    """No registered variant has the name asked for (or none is the default)."""


class PictureNotFound(RequestError):
    """The picture named isn't one of this API's, or not any more."""


class RecordNotFound(RequestError):
    """There is no such file or batch, or not any more."""


class Conflict(RequestError):
    """It doesn't go with what was asked for before."""


class GalleryNotDeployed(RequestError):
    """The API keeps no pictures."""


class RouteNotFound(RequestError):
    """The API has no such path."""


class MethodNotAllowed(RequestError):
    """The path has no such method, but `allowed`."""

    def __init__(self, allowed: str) -> None:
        self.allowed = allowed
        message = f"The path takes {allowed}."
        super().__init__(Problem(None, message, "method_not_allowed"))


class EndpointThrottled(FrontDoorError):
    """SageMaker takes no more requests just now."""

    not_drawn = passing = True


class EndpointUnavailable(FrontDoorError):
    """The endpoint has no healthy container, or can't be reached."""

    not_drawn = passing = True


class EndpointNotFound(EndpointUnavailable):
    """There is no endpoint of that name in service: still being made, or gone with its variant."""

    passing = False


class EndpointStopped(EndpointNotFound):
    """The endpoint was taken out of service; `start` is the command that brings it back."""

    def __init__(self, why: str, start: str) -> None:
        self.start = start
        super().__init__(why)


class EndpointAtZero(EndpointUnavailable):
    """The endpoint has no instance now; one may be starting."""

    passing = False


class EndpointOverloaded(EndpointUnavailable):
    """The container's queue is full."""


class EndpointDied(EndpointUnavailable):
    """The connection to the endpoint or its container ended before the answer."""

    not_drawn = passing = False


class EndpointTooOld(EndpointUnavailable):
    """The container is older than what it is asked for: a deploy moves the front door before the
    endpoints."""

    not_drawn = passing = False


class EndpointTimeout(FrontDoorError):
    """The endpoint's answer would come too late for the gateway."""


class RegistryError(FrontDoorError):
    """The variants' registrations can't be read, or the one asked for is malformed."""


class EndpointError(FrontDoorError):
    """The container failed, or answered something outside its contract."""


class SigningError(FrontDoorError):
    """What was drawn can't be signed, where it is to be."""


class GalleryError(FrontDoorError):
    """The gallery is there, but could not be told or asked."""


class StorageError(FrontDoorError):
    """An image couldn't be stored."""
