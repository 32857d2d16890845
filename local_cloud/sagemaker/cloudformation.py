"""AWS::SageMaker::Model, EndpointConfig and Endpoint for CloudFormation.

Model and EndpointConfig are immutable: any change replaces them. Ref gives the ARN, as on AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_cloud.api_shapes import BadRequest, coerced_to, input_shape
from local_cloud.ministack.cloudformation import Properties, Provisioned, ResourceType, register
from local_cloud.sagemaker.control import SageMakerControl

ENDPOINT = "AWS::SageMaker::Endpoint"
# Of an endpoint's properties, those that UpdateEndpoint alone has.
OF_UPDATES = (
    "RetainAllVariantProperties",
    "ExcludeRetainedVariantProperties",
    "RetainDeploymentConfig",
)


def register_sagemaker_types(control: SageMakerControl) -> None:
    """Add the three types."""
    model, config = _Immutable(control, "Model"), _Immutable(control, "EndpointConfig")
    endpoint = _Endpoint(control, "Endpoint")
    register(
        model.type(),
        config.type(),
        ResourceType(
            name=ENDPOINT,
            create=endpoint.create,
            update=endpoint.update,
            delete=endpoint.delete,
            replacing=("EndpointName",),
        ),
    )


class _Resource:
    def __init__(self, control: SageMakerControl, noun: str) -> None:
        """`noun` is what it is called in the names of operations and members."""
        self._control, self._noun, self._member = control, noun, f"{noun}Name"
        self._names: dict[str, str] = {}

    def create(self, generated: str, props: Properties) -> Provisioned:
        name = props.get(self._member) or generated
        answer = self._call("Create", {**props, self._member: name})
        arn = answer[f"{self._noun}Arn"]
        self._names[arn] = name
        return arn, {self._member: name}

    def delete(self, arn: str, _props: Properties) -> None:
        if name := self._names.pop(arn, None):
            self._call("Delete", {self._member: name})

    def _call(self, verb: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        operation = verb + self._noun
        try:
            request = coerced_to(input_shape("sagemaker", operation), properties)
            return self._control.call(operation, request)
        except BadRequest as error:
            raise ValueError(str(error)) from error


class _Immutable(_Resource):
    def type(self) -> ResourceType:
        create = input_shape("sagemaker", f"Create{self._noun}")
        return ResourceType(
            name=f"AWS::SageMaker::{self._noun}",
            create=self.create,
            update=lambda arn, _old, _new: (arn, {self._member: self._names[arn]}),
            delete=self.delete,
            replacing=tuple(create.members.keys() - {"Tags"}),
        )


class _Endpoint(_Resource):
    def create(self, generated: str, props: Properties) -> Provisioned:
        asked = {name: value for name, value in props.items() if name not in OF_UPDATES}
        arn, names = super().create(generated, asked)
        if failure := self._failure(arn):
            # The rollback has no physical id to delete it by.
            self.delete(arn, props)
            raise failure
        return arn, names

    def update(self, arn: str, old: Properties, new: Properties) -> Provisioned:
        keys = ("EndpointConfigName", "DeploymentConfig")
        if any(old.get(key) != new.get(key) for key in keys):
            request = {key: new[key] for key in (*keys, *OF_UPDATES) if new.get(key)}
            request["EndpointName"] = self._names[arn]
            self._call("Update", request)
            if failure := self._failure(arn):
                raise failure
        return arn, {"EndpointName": self._names[arn]}

    def delete(self, arn: str, props: Properties) -> None:
        """One that was deleted past CloudFormation is gone, which is what was asked for; an update
        of it fails by SageMaker's own words."""
        try:
            super().delete(arn, props)
        except ValueError as error:
            if not str(error).startswith("Could not find endpoint"):
                raise

    def _failure(self, arn: str) -> ValueError | None:
        """Why a creation or update that is under way comes to nothing."""
        endpoint = self._control.endpoints.endpoint(self._names[arn])
        endpoint.done.wait()
        if not endpoint.failure:
            return None
        return ValueError(f"Resource of type '{ENDPOINT}' failed to stabilize: {endpoint.failure}")
