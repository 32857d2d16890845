"""Lambda's recursive loop detection as it is: for each function of a chain of requests, and where a
queue is in the loop (developer guide, invocation-recursion). MiniStack counts the calls of all
functions together, and of those alone that functions make directly."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from ministack.services import lambda_svc, sqs
from ministack.services.cloudformation import provisioners

FUNCTION = "AWS::Lambda::Function"
TRACE = "AWSTraceHeader"
LINEAGE = "Lineage="
"""The last part of a trace header; AWS has hashes in it in place of functions' names."""


class Chain(dict[str, int]):
    """How often each function was called on the way to a request. It stands where MiniStack has a
    number: in a variable of the context, and as text in the header that the SDK in a function sends
    with every request."""

    @classmethod
    def read(cls, text: str) -> Chain:
        # MiniStack's own for no chain is a 0.
        return cls(ast.literal_eval(text or "0") or {})

    def __add__(self, _: object) -> Chain:
        """As MiniStack goes one deeper: for which function, `with_chain` knows."""
        return Chain(self)

    def count(self, name: str) -> int:
        self[name] = self.get(name, 0) + 1
        return self[name]


_heard: ContextVar[Chain] = ContextVar("chain_of_the_request")


def correct_loops() -> None:
    """Once, before anything is served."""
    lambda_svc._inbound_invoke_depth = chain_in
    lambda_svc._recursive_loop_drop = with_chain(lambda_svc._recursive_loop_drop)
    sqs._build_send_sys_attrs = with_lineage(sqs._build_send_sys_attrs)
    handlers = provisioners._RESOURCE_HANDLERS[FUNCTION]
    for verb, properties in (("create", 1), ("update", 2)):
        handlers[verb] = with_setting(handlers[verb], properties)


def chain_in(headers: Mapping[str, str]) -> Chain:
    return Chain.read(headers.get(lambda_svc._INVOKE_DEPTH_HEADER, ""))


def hear(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Of a request, in the context that it is served in."""
    _heard.set(chain_in({k.decode("latin-1").lower(): v.decode("latin-1") for k, v in headers}))


def with_chain(drop: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(name: str, function: Mapping[str, Any], chain: Chain) -> Any:
        return drop(name, function, chain.count(name))

    return wrapped


def with_lineage(build: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    """A message's system attributes, with the chain that led to it."""

    def wrapped(*arguments: Any) -> dict[str, str]:
        attributes = build(*arguments)
        if chain := _heard.get(Chain()):
            attributes.setdefault(TRACE, f"Sampled=0;{LINEAGE}{chain}")
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
    chain = Chain()
    for message in messages:
        _, _, lineage = (message.get("sys") or {}).get(TRACE, "").partition(LINEAGE)
        for each, calls in Chain.read(lineage).items():
            chain[each] = max(calls, chain.get(each, 0))
    stopped = lambda_svc._recursive_loop_drop(name, function, chain) is not None
    lambda_svc._invoke_depth.set(chain)
    return stopped
