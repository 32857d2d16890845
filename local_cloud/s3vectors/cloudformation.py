"""AWS::S3Vectors::VectorBucket and Index for CloudFormation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from local_cloud.api_shapes import BadRequest, coerced_to, input_shape
from local_cloud.ministack.cloudformation import Properties, Provisioned, ResourceType, register
from local_cloud.s3vectors.requests import SERVICE

Call = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]


def register_vector_types(call: Call) -> None:
    """Add both; `call` answers the service's operations."""
    register(
        _Resource(call, "VectorBucket", "vectorBucket").type(),
        _Resource(call, "Index", "index").type(),
    )


class _Resource:
    """`noun` is what it is called in the names of types and operations, `prefix` in its members'.
    Its Ref is its ARN."""

    def __init__(self, call: Call, noun: str, prefix: str) -> None:
        self._call, self._noun, self._prefix = call, noun, prefix

    def type(self) -> ResourceType:
        shape = input_shape(SERVICE, f"Create{self._noun}")
        return ResourceType(
            name=f"AWS::S3Vectors::{self._noun}",
            create=self._create,
            update=lambda arn, _old, _new: (arn, self._attributes(arn)),
            delete=self._delete,
            # Template reference: all but the tags.
            replacing=tuple(_upper(name) for name in shape.members if name != "tags"),
        )

    def _create(self, generated: str, props: Properties) -> Provisioned:
        members = {f"{self._prefix}Name": generated.lower(), **_members(props)}
        arn = self._perform("Create", members)[f"{self._prefix}Arn"]
        return arn, self._attributes(arn)

    def _attributes(self, arn: str) -> dict[str, str]:
        record = self._perform("Get", {f"{self._prefix}Arn": arn})[self._prefix]
        return {
            f"{_upper(self._prefix)}Arn": arn,
            "CreationTime": str(record["creationTime"]),
        }

    def _delete(self, arn: str, _props: Properties) -> None:
        self._perform("Delete", {f"{self._prefix}Arn": arn}, gone_is_done=True)

    def _perform(
        self, verb: str, members: Mapping[str, Any], *, gone_is_done: bool = False
    ) -> Mapping[str, Any]:
        operation = verb + self._noun
        try:
            return self._call(operation, coerced_to(input_shape(SERVICE, operation), members))
        except BadRequest as error:
            if gone_is_done and error.code == "NotFoundException":
                return {}
            raise ValueError(str(error)) from error


def _upper(name: str) -> str:
    return name[0].upper() + name[1:]


def _members(value: Any) -> Any:
    """Properties as the API's members, whose names begin with a small letter."""
    if isinstance(value, Mapping):
        return {name[0].lower() + name[1:]: _members(each) for name, each in value.items()}
    return [_members(each) for each in value] if isinstance(value, list) else value
