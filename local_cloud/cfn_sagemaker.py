"""AWS::SageMaker::Model, EndpointConfig and Endpoint for CloudFormation.

Model and EndpointConfig are immutable: any change replaces them. Ref gives the ARN, as on AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_cloud.api_shapes import BadRequest, coerced
from local_cloud.cfn_types import Properties, Provisioned, ResourceType, register, with_stack_tags
from local_cloud.sagemaker_control import SageMakerControl
from local_cloud.sagemaker_endpoints import Endpoint

MODEL = "AWS::SageMaker::Model"
CONFIG = "AWS::SageMaker::EndpointConfig"
ENDPOINT = "AWS::SageMaker::Endpoint"
# Members of the template's types that the API takes elsewhere or not at all.
_ENDPOINT_ONLY = (
    "ExcludeRetainedVariantProperties",
    "RetainAllVariantProperties",
    "RetainDeploymentConfig",
)


def register_sagemaker_types(control: SageMakerControl) -> None:
    """Add the three types."""
    handlers = _Handlers(control)
    register(
        ResourceType(
            name=MODEL,
            create=handlers.create_model,
            update=handlers.keep_model,
            delete=handlers.delete_model,
            replacing=(
                "ModelName", "ExecutionRoleArn", "PrimaryContainer", "Containers",
                "EnableNetworkIsolation", "InferenceExecutionConfig", "VpcConfig",
            ),
            name_property="ModelName",
        )
    )  # fmt: skip
    register(
        ResourceType(
            name=CONFIG,
            create=handlers.create_config,
            update=handlers.keep_config,
            delete=handlers.delete_config,
            replacing=(
                "EndpointConfigName", "AsyncInferenceConfig", "DataCaptureConfig",
                "EnableNetworkIsolation", "ExecutionRoleArn", "ExplainerConfig", "KmsKeyId",
                "ProductionVariants", "ShadowProductionVariants", "VpcConfig",
            ),
            name_property="EndpointConfigName",
        )
    )  # fmt: skip
    register(
        ResourceType(
            name=ENDPOINT,
            create=handlers.create_endpoint,
            update=handlers.update_endpoint,
            delete=handlers.delete_endpoint,
            replacing=("EndpointName",),
        )
    )
    with_stack_tags(MODEL, CONFIG, ENDPOINT)


class _Handlers:
    def __init__(self, control: SageMakerControl) -> None:
        self._control = control

    def create_model(self, generated: str, props: Properties) -> Provisioned:
        name = props.get("ModelName") or generated
        arn = self._call("CreateModel", {**props, "ModelName": name})["ModelArn"]
        return arn, {"ModelName": name}

    def keep_model(self, arn: str, _old: Properties, new: Properties) -> Provisioned:
        self._retag(arn, new)
        return arn, {"ModelName": _name_of(self._control.models.models, "ModelArn", arn)}

    def delete_model(self, arn: str, _props: Properties) -> None:
        if name := _name_of(self._control.models.models, "ModelArn", arn):
            self._call("DeleteModel", {"ModelName": name})

    def create_config(self, generated: str, props: Properties) -> Provisioned:
        name = props.get("EndpointConfigName") or generated
        request = {**props, "EndpointConfigName": name}
        arn = self._call("CreateEndpointConfig", request)["EndpointConfigArn"]
        return arn, {"EndpointConfigName": name}

    def keep_config(self, arn: str, _old: Properties, new: Properties) -> Provisioned:
        self._retag(arn, new)
        name = _name_of(self._control.models.configs, "EndpointConfigArn", arn)
        return arn, {"EndpointConfigName": name}

    def delete_config(self, arn: str, _props: Properties) -> None:
        if name := _name_of(self._control.models.configs, "EndpointConfigArn", arn):
            self._call("DeleteEndpointConfig", {"EndpointConfigName": name})

    def create_endpoint(self, generated: str, props: Properties) -> Provisioned:
        name = props.get("EndpointName") or generated
        request = {key: value for key, value in props.items() if key not in _ENDPOINT_ONLY}
        if props.get("DeploymentConfig"):
            request["DeploymentConfig"] = _with_wait_interval(props["DeploymentConfig"])
        arn = self._call("CreateEndpoint", {**request, "EndpointName": name})["EndpointArn"]
        endpoint = self._control.endpoints.endpoint(name)
        endpoint.done.wait()
        if endpoint.status != "InService":
            reason = endpoint.failure
            # The rollback has no physical id to delete it by.
            self._call("DeleteEndpoint", {"EndpointName": name})
            raise ValueError(f"Resource of type '{ENDPOINT}' failed to stabilize: {reason}")
        return arn, {"EndpointName": name}

    def update_endpoint(self, arn: str, old: Properties, new: Properties) -> Provisioned:
        endpoint = self._by_arn(arn)
        if endpoint is None:
            raise ValueError(f"Endpoint {arn} is gone")
        keys = ("EndpointConfigName", "DeploymentConfig")
        if any(old.get(key) != new.get(key) for key in keys):
            request: dict[str, Any] = {
                "EndpointName": endpoint.name,
                "EndpointConfigName": new.get("EndpointConfigName"),
            }
            if new.get("DeploymentConfig"):
                request["DeploymentConfig"] = _with_wait_interval(new["DeploymentConfig"])
            self._call("UpdateEndpoint", request)
            endpoint.done.wait()
            if endpoint.failure:
                raise ValueError(
                    f"Resource of type '{ENDPOINT}' failed to stabilize: {endpoint.failure}"
                )
        self._retag(arn, new)
        return arn, {"EndpointName": endpoint.name}

    def delete_endpoint(self, arn: str, _props: Properties) -> None:
        if endpoint := self._by_arn(arn):
            self._call("DeleteEndpoint", {"EndpointName": endpoint.name})

    def _by_arn(self, arn: str) -> Endpoint | None:
        found = (item for item in self._control.endpoints.endpoints.values() if item.arn == arn)
        return next(found, None)

    def _call(self, operation: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._control.call(operation, coerced("sagemaker", operation, properties))
        except BadRequest as error:
            raise ValueError(str(error)) from error

    def _retag(self, arn: str, props: Properties) -> None:
        self._control.tags.put(arn, props)


def _name_of(records: Mapping[str, Mapping[str, Any]], member: str, arn: str) -> str:
    return next((name for name, record in records.items() if record[member] == arn), "")


def _with_wait_interval(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """The template may leave WaitIntervalInSeconds out, the API may not."""
    policy = deployment.get("BlueGreenUpdatePolicy")
    if not policy:
        return dict(deployment)
    routing = {"WaitIntervalInSeconds": 0, **policy["TrafficRoutingConfiguration"]}
    return {
        **deployment,
        "BlueGreenUpdatePolicy": {**policy, "TrafficRoutingConfiguration": routing},
    }
