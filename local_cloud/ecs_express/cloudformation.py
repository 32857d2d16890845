"""AWS::ECS::ExpressGatewayService for CloudFormation. Ref gives the service's ARN."""

from __future__ import annotations

from typing import Any

from local_cloud.api_shapes import BadRequest, check_shape, coerced_to, input_shape
from local_cloud.ecs_express.service import ExpressServices, ServiceFailed
from local_cloud.ministack.cloudformation import Properties, Provisioned, ResourceType, register

TYPE = "AWS::ECS::ExpressGatewayService"


def register_express_types(services: ExpressServices) -> None:
    def create(generated: str, props: Properties) -> Provisioned:
        request = _request(props)
        try:
            arn, endpoint = services.create(request.get("serviceName", generated), request)
        except ServiceFailed as error:
            raise ValueError(f"Resource of type '{TYPE}' failed to stabilize: {error}") from error
        return arn, _attributes(arn, endpoint)

    def update(arn: str, old: Properties, new: Properties) -> Provisioned:
        if old != new:
            try:
                services.update(arn, _request(new))
            except ServiceFailed as error:
                raise ValueError(
                    f"Resource of type '{TYPE}' failed to stabilize: {error}"
                ) from error
        return arn, _attributes(arn, services.endpoint(arn))

    register(
        ResourceType(
            name=TYPE,
            create=create,
            update=update,
            delete=lambda arn, _props: services.delete(arn),
            # CloudFormation's template reference, "Update requires".
            replacing=("Cluster", "InfrastructureRoleArn", "ServiceName"),
        )
    )


def _attributes(arn: str, endpoint: str) -> dict[str, str]:
    return {"Endpoint": endpoint, "ServiceArn": arn}


def _request(props: Properties) -> dict[str, Any]:
    """What the API gets: its members' names begin small, CloudFormation's don't."""
    shape = input_shape("ecs", "CreateExpressGatewayService")
    try:
        request = coerced_to(shape, _small(props))
        check_shape(shape, request)
    except BadRequest as error:
        raise ValueError(str(error)) from error
    return request


def _small(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: _small(item) for name, item in value.items()}
    return [_small(item) for item in value] if isinstance(value, list) else value
