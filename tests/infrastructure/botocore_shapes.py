"""A template's resources as requests to the APIs that CloudFormation makes them with, which
botocore's models then check: lengths, patterns, enums, ranges, required and unknown members.

A property is the member of the same name, whatever its capitals, of the operation that creates the
resource. Where it isn't, creating_operations.py says what it is. A property of neither kind is an
unknown member, and so an error: nothing goes unchecked in silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local_cloud.api_shapes import check_shape, coerced_to, service_model
from tests.infrastructure.creating_operations import APIS, Api, Elsewhere
from tests.infrastructure.physical_values import IDENTITIES


@dataclass(frozen=True)
class Request:
    """`operation` is "" where it takes patches: then `value` is what they'd put together."""

    service: str
    operation: str
    shape: Any
    value: dict[str, Any]

    def check(self) -> None:
        """Raises BadRequest with whatever the service's model says against it."""
        check_shape(self.shape, self.value)


def requests_for(kind: str, properties: Mapping[str, Any], name: str) -> list[Request]:
    """What creates a resource; `name` serves where its properties give none.

    Raises BadRequest for a property that no operation takes, and ValueError for an unknown type.
    """
    if kind not in APIS:
        raise ValueError(
            f"{kind}: no operation is known here to make it; add it to creating_operations.py"
        )
    api = APIS[kind]
    named_by = IDENTITIES[kind].named_by if kind in IDENTITIES else ""
    if named_by:
        properties = {named_by: name, **properties}
    created = {
        key: value
        for key, value in properties.items()
        if key not in api.elsewhere and key not in api.own
    }
    shape = _shape(api.service, api)
    made = [
        _request(api.service, api, _filled(api, shape, each))
        for each in _one_by_one(created, api.each)
    ]
    for path, other in api.elsewhere.items():
        given: Any = properties
        for name in path.split("/"):
            given = given.get(name) if given else None
        if given is not None:
            made += _requests_elsewhere(api, path, other, properties, given)
    return made


def _requests_elsewhere(
    api: Api, key: str, other: Elsewhere, properties: Mapping[str, Any], given: Any
) -> Iterator[Request]:
    shape = _shape(api.service, other)
    beside = {member: properties[name] for name, member in other.beside.items()}
    for item in given if other.each else [given]:
        if other.member:
            value = {other.member: _converted(api, shape.members[other.member], item, key)}
        else:
            kept = {name: each for name, each in item.items() if name not in other.without}
            value = _converted(api, shape, kept, key)
        yield _request(api.service, other, {**beside, **value})


def _request(service: str, of: Api | Elsewhere, value: dict[str, Any]) -> Request:
    shape = _shape(service, of)
    return Request(service, of.operation, shape, coerced_to(shape, value))


def _shape(service: str, of: Api | Elsewhere) -> Any:
    model = service_model(service)
    if of.shape:
        return model.shape_for(of.shape)
    return model.operation_model(of.operation).input_shape


def patterns_used() -> Iterator[tuple[str, str]]:
    """Every pattern, with its service, that something checked here may have to match."""
    for api in APIS.values():
        seen: set[str] = set()
        left = [_shape(api.service, api)]
        left += [_shape(api.service, other) for other in api.elsewhere.values()]
        while left:
            shape = left.pop()
            if shape.name in seen:
                continue
            seen.add(shape.name)
            if shape.type_name == "structure":
                left += shape.members.values()
            elif shape.type_name == "list":
                left.append(shape.member)
            elif shape.type_name == "map":
                left += [shape.key, shape.value]
            elif pattern := shape.metadata.get("pattern"):
                yield api.service, pattern


def _one_by_one(properties: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    if not key:
        yield properties
        return
    for item in properties[key]:
        yield {**properties, key: item}


def _filled(api: Api, shape: Any, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The operation's input; what its members don't take is in the map that takes the rest."""
    if not api.rest:
        value: dict[str, Any] = _converted(api, shape, properties, "")
        return value
    own = {name: item for name, item in properties.items() if _member(shape, name) in shape.members}
    rest = {
        name: item if isinstance(item, str) else json.dumps(item)
        for name, item in properties.items()
        if name not in own
    }
    return {**_converted(api, shape, own, ""), api.rest: rest}


def _converted(api: Api, shape: Any, value: Any, path: str) -> Any:
    if path in api.documents:
        return json.dumps(value, separators=(",", ":"))
    if shape.type_name == "structure" and isinstance(value, Mapping):
        result: dict[str, Any] = {}
        for name, item in value.items():
            inner_path = f"{path}/{name}".lstrip("/")
            *outer, last = api.renamed.get(inner_path, _member(shape, name)).split("/")
            holder, inside = result, shape
            for step in outer:
                holder, inside = holder.setdefault(step, {}), inside.members[step]
            holder[last] = _converted(api, _shape_of(inside, last), item, inner_path)
        return {**api.filled.get(path, {}), **result}
    if shape.type_name == "list" and isinstance(value, list):
        return [_converted(api, shape.member, item, path) for item in value]
    if shape.type_name == "map" and isinstance(value, list):
        return {tag["Key"]: tag["Value"] for tag in value}  # CloudFormation's way to write tags
    return value


def _shape_of(shape: Any, member: str) -> Any:
    if shape.type_name == "map":
        return shape.value
    return shape.members.get(member, shape)  # an unknown one is refused by name later


def _member(shape: Any, name: str) -> str:
    """The structure's name for a property: "Image" is "image" to CodeBuild, "Id" "ID" to S3."""
    if name in shape.members:
        return name
    same = [member for member in shape.members if member.lower() == name.lower()]
    return same[0] if len(same) == 1 else name
