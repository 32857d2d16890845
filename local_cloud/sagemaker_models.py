"""SageMaker's models and endpoint configurations: immutable records, checked when they are made."""

from __future__ import annotations

import time
from typing import Any

from local_cloud.api_shapes import BadRequest
from local_cloud.model_images import (
    check_container,
    check_model_data,
    find_image,
    sagemaker_role,
)
from local_cloud.sagemaker_resources import (
    Answer,
    Operations,
    Request,
    Tags,
    known_members,
    make_arn,
    one_page,
)
from local_cloud.settings import CloudSettings


class Models:
    """Models and endpoint configurations by name, each as its request with what AWS adds."""

    def __init__(self, settings: CloudSettings, tags: Tags) -> None:
        self._settings, self._tags = settings, tags
        self.models: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.operations: Operations = {
            "CreateModel": self._create_model,
            "DescribeModel": self._describe_model,
            "DeleteModel": self._delete_model,
            "ListModels": self._list_models,
            "CreateEndpointConfig": self._create_config,
            "DescribeEndpointConfig": self._describe_config,
            "DeleteEndpointConfig": self._delete_config,
            "ListEndpointConfigs": self._list_configs,
        }

    def _create_model(self, request: Request) -> Answer:
        name, arn = request["ModelName"], self._arn("model", request["ModelName"])
        if name in self.models:
            raise BadRequest(
                "ValidationException", f'Cannot create already existing model "{arn}".'
            )
        containers = request.get("Containers") or [request.get("PrimaryContainer") or {}]
        role_arn = request.get("ExecutionRoleArn")
        if not role_arn:
            raise BadRequest("ValidationException", "ExecutionRoleArn is required.")
        role = sagemaker_role(self._settings, role_arn, "SageMaker")
        for container in containers:
            check_container(container)
            find_image(self._settings, container["Image"], role)
            check_model_data(self._settings, container, role)
        self.models[name] = {**request, "CreationTime": time.time(), "ModelArn": arn}
        self._tags.put(arn, request)
        return {"ModelArn": arn}

    def _describe_model(self, request: Request) -> Answer:
        return known_members("DescribeModel", self.model(request["ModelName"]))

    def _delete_model(self, request: Request) -> Answer:
        model = self.model(request["ModelName"])
        del self.models[request["ModelName"]]
        self._tags.drop(model["ModelArn"])
        return {}

    def _list_models(self, request: Request) -> Answer:
        found = [
            {key: model[key] for key in ("ModelName", "ModelArn", "CreationTime")}
            for model in self.models.values()
        ]
        return {"Models": one_page(found, request, "ModelName")}

    def model(self, name: str) -> dict[str, Any]:
        if name not in self.models:
            raise BadRequest(
                "ValidationException", f'Could not find model "{self._arn("model", name)}".'
            )
        return self.models[name]

    def _create_config(self, request: Request) -> Answer:
        name = request["EndpointConfigName"]
        arn = self._arn("endpoint-config", name)
        if name in self.configs:
            raise BadRequest(
                "ValidationException",
                f'Cannot create already existing endpoint configuration "{arn}".',
            )
        for variant in request["ProductionVariants"]:
            if "ModelName" in variant:
                self.model(variant["ModelName"])
            if not variant.get("ServerlessConfig") and not variant.get("InstanceType"):
                raise BadRequest(
                    "ValidationException",
                    f"InstanceType is required for variant {variant['VariantName']}.",
                )
        self.configs[name] = {
            **request,
            "CreationTime": time.time(),
            "EndpointConfigArn": arn,
        }
        self._tags.put(arn, request)
        return {"EndpointConfigArn": arn}

    def _describe_config(self, request: Request) -> Answer:
        return known_members("DescribeEndpointConfig", self.config(request["EndpointConfigName"]))

    def _delete_config(self, request: Request) -> Answer:
        config = self.config(request["EndpointConfigName"])
        del self.configs[request["EndpointConfigName"]]
        self._tags.drop(config["EndpointConfigArn"])
        return {}

    def _list_configs(self, request: Request) -> Answer:
        keys = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
        found = [{key: config[key] for key in keys} for config in self.configs.values()]
        return {"EndpointConfigs": one_page(found, request, "EndpointConfigName")}

    def config(self, name: str) -> dict[str, Any]:
        if name not in self.configs:
            raise BadRequest(
                "ValidationException",
                f'Could not find endpoint configuration "{self._arn("endpoint-config", name)}".',
            )
        return self.configs[name]

    def _arn(self, kind: str, name: str) -> str:
        return make_arn(self._settings, kind, name)
