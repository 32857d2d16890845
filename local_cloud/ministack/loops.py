"""Lambda's recursive loop detection where a queue is in the loop (developer guide,
invocation-recursion); MiniStack has it for functions that call each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from ministack.services import lambda_svc, sqs
from ministack.services.cloudformation import provisioners

FUNCTION = "AWS::Lambda::Function"
TRACE = "AWSTraceHeader"
LINEAGE = "Lineage=0:"
"""The last part of a trace header; AWS has a hash of the function in place of the 0."""

_calls_so_far: ContextVar[int] = ContextVar("calls_so_far", default=0)
"""Of functions, in the chain that the request now served belongs to."""


def correct_loops() -> None:
    """Once, before anything is served."""
    sqs._build_send_sys_attrs = with_lineage(sqs._build_send_sys_attrs)
    handlers = provisioners._RESOURCE_HANDLERS[FUNCTION]
    for verb, properties in (("create", 1), ("update", 2)):
        handlers[verb] = with_setting(handlers[verb], properties)


def hear(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Of a request, in the context that it is served in: the SDK in a function tells MiniStack with
    each how many calls led to it."""
    told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    _calls_so_far.set(lambda_svc._inbound_invoke_depth(told))


def with_lineage(build: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    """A message's system attributes, with how many calls of functions led to it."""

    def wrapped(*arguments: Any) -> dict[str, str]:
        attributes = build(*arguments)
        if calls := _calls_so_far.get():
            attributes.setdefault(TRACE, f"Sampled=0;{LINEAGE}{calls}")
        return attributes

    return wrapped


def with_setting(handler: Callable[..., Any], properties: int) -> Callable[..., Any]:
    """CloudFormation's RecursiveLoop, which MiniStack knows as an operation alone. `properties` is
    the place of a resource's own among the handler's arguments."""

    def wrapped(*arguments: Any, **more: Any) -> Any:
        made = handler(*arguments, **more)
        name, *_ = made
        lambda_svc._functions[name]["recursive_loop"] = arguments[properties].get(
            "RecursiveLoop", "Terminate"
        )
        return made

    return wrapped


def is_stopped(
    name: str, function: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether Lambda leaves this call out. If not, what the function sends counts it."""
    calls = 1 + max(_lineage(message) for message in messages)
    lambda_svc._invoke_depth.set(calls)
    return lambda_svc._recursive_loop_drop(name, function, calls) is not None


def _lineage(message: Mapping[str, Any]) -> int:
    _, _, calls = (message.get("sys") or {}).get(TRACE, "").partition(LINEAGE)
    return int(calls or 0)
