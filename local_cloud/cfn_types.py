"""Adds resource types to MiniStack's CloudFormation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ministack.services.cloudformation import provisioners, stacks

Properties = Mapping[str, Any]
Provisioned = tuple[str, dict[str, str]]
"""Physical id (what Ref gives) and the attributes Fn::GetAtt may ask for."""

_blocking: set[str] = set()
_runs_on_worker_thread = stacks._runs_on_worker_thread


@dataclass(frozen=True)
class ResourceType:
    """A type's life. `name_property` is set where a fixed name would forbid replacement."""

    name: str
    create: Callable[[str, Properties], Provisioned]
    """(a generated physical name, properties)"""
    update: Callable[[str, Properties, Properties], Provisioned]
    """(physical id, old properties, new properties), for changes that need no replacement."""
    delete: Callable[[str, Properties], None]
    replacing: tuple[str, ...]
    name_property: str = ""
    max_name: int = 63


def register(kind: ResourceType) -> None:
    """Make CloudFormation know the type. Its functions run on worker threads and may block."""

    def create(logical_id: str, props: dict[str, Any], stack_name: str) -> Provisioned:
        generated = provisioners._physical_name(stack_name, logical_id, max_len=kind.max_name)
        return kind.create(generated, props)

    def update(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], _stack_name: str
    ) -> Provisioned:
        return kind.update(physical_id, old, new)

    provisioners._RESOURCE_HANDLERS[kind.name] = {
        "create": create,
        "update": update,
        "delete": kind.delete,
    }
    provisioners._REPLACING_PROPERTIES[kind.name] = kind.replacing
    if kind.name_property:
        provisioners._CUSTOM_NAME_REPLACEMENT[kind.name] = {"name": kind.name_property}
    _blocking.add(kind.name)
    stacks._runs_on_worker_thread = runs_on_worker_thread


def with_stack_tags(*names: str) -> None:
    """Merge the stack's tags into the `Tags` list of these types."""
    for name in names:
        provisioners._STACK_TAG_PROPERTY[name] = ("Tags", "list")


def runs_on_worker_thread(resource_type: str) -> bool:
    """MiniStack's own answer, and yes for the types added here."""
    return resource_type in _blocking or bool(_runs_on_worker_thread(resource_type))
