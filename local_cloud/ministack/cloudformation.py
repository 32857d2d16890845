"""Adds resource types to MiniStack's CloudFormation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ministack.services.cloudformation import provisioners, stacks

Properties = Mapping[str, Any]
Provisioned = tuple[str, dict[str, str]]
"""Physical id (what Ref gives) and the attributes Fn::GetAtt may ask for."""
MAX_NAME = 63


@dataclass(frozen=True)
class ResourceType:
    """A type's life. What it calls may block: it is called on worker threads."""

    name: str
    create: Callable[[str, Properties], Provisioned]
    """(a generated physical name, properties)"""
    update: Callable[[str, Properties, Properties], Provisioned]
    """(physical id, old properties, new properties), for changes that need no replacement."""
    delete: Callable[[str, Properties], None]
    replacing: tuple[str, ...]


def register(*kinds: ResourceType) -> None:
    """Make CloudFormation know the types."""
    for kind in kinds:
        _register(kind)
    names, known = {kind.name for kind in kinds}, stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda name: name in names or bool(known(name))


def _register(kind: ResourceType) -> None:
    def create(logical_id: str, props: dict[str, Any], stack: str) -> Provisioned:
        name = provisioners._physical_name(stack, logical_id, max_len=MAX_NAME)
        return kind.create(name, props)

    def update(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], _stack: str
    ) -> Provisioned:
        return kind.update(physical_id, old, new)

    provisioners._RESOURCE_HANDLERS[kind.name] = {
        "create": create,
        "update": update,
        "delete": kind.delete,
    }
    provisioners._REPLACING_PROPERTIES[kind.name] = kind.replacing
