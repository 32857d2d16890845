"""SageMaker's models and endpoint configurations: immutable records, checked when they are made."""

from __future__ import annotations

import time
from typing import Any

from local_cloud.sagemaker.definition import check_definition, check_model_data, find_image
from local_cloud.sagemaker.network import ZONES, check_network
from local_cloud.sagemaker.resources import (
    Answer,
    Operations,
    Request,
    invalid,
    known_members,
    make_arn,
    sagemaker_role,
)
from local_cloud.settings import CloudSettings

NOT_HERE = {
    "DataCaptureConfig",
    "ExplainerConfig",
    "ShadowProductionVariants",
    "VpcConfig",
}
"""Of an endpoint configuration's members."""
Records = dict[str, dict[str, Any]]


class Models:
    """Models and endpoint configurations by name, each as its request with what AWS adds."""

    def __init__(self, settings: CloudSettings) -> None:
        self._settings = settings
        self._models: Records = {}
        self._configs: Records = {}
        self.operations: Operations = {
            "CreateModel": self._create_model,
            "DescribeModel": lambda request: known_members(
                "DescribeModel", self.model(request["ModelName"])
            ),
            "DeleteModel": self._delete_model,
            "CreateEndpointConfig": self._create_config,
            "DescribeEndpointConfig": lambda request: known_members(
                "DescribeEndpointConfig", self.config(request["EndpointConfigName"])
            ),
            "DeleteEndpointConfig": self._delete_config,
        }

    def model(self, name: str) -> dict[str, Any]:
        """BadRequest where there is none of that name."""
        return self._found(self._models, "model", "model", name)

    def config(self, name: str) -> dict[str, Any]:
        """BadRequest where there is none of that name."""
        return self._found(self._configs, "endpoint-config", "endpoint configuration", name)

    def _create_model(self, request: Request) -> Answer:
        name = request["ModelName"]
        arn = self._new_arn(self._models, "model", "model", name)
        if not (role_arn := request.get("ExecutionRoleArn")):
            raise invalid("ExecutionRoleArn is required.")
        role = sagemaker_role(self._settings, role_arn)
        container = request.get("PrimaryContainer") or {}
        check_definition(container)
        check_network(self._settings, request.get("VpcConfig"), role, ZONES)
        find_image(self._settings, container["Image"], role)
        check_model_data(self._settings, container, role)
        self._models[name] = {**request, "CreationTime": time.time(), "ModelArn": arn}
        return {"ModelArn": arn}

    def _delete_model(self, request: Request) -> Answer:
        self.model(request["ModelName"])
        del self._models[request["ModelName"]]
        return {}

    def _create_config(self, request: Request) -> Answer:
        name = request["EndpointConfigName"]
        arn = self._new_arn(self._configs, "endpoint-config", "endpoint configuration", name)
        for member in NOT_HERE & request.keys():
            raise invalid(f"The local cloud has no {member}.")
        main, *others = request["ProductionVariants"]
        if others:
            raise invalid("The local cloud serves one production variant a configuration.")
        self.model(main["ModelName"])
        check_asynchronous(request.get("AsyncInferenceConfig"))
        if not main.get("InstanceType"):
            raise invalid(f"InstanceType is required for variant {main['VariantName']}.")
        self._configs[name] = {
            **request,
            "CreationTime": time.time(),
            "EndpointConfigArn": arn,
        }
        return {"EndpointConfigArn": arn}

    def _delete_config(self, request: Request) -> Answer:
        self.config(request["EndpointConfigName"])
        del self._configs[request["EndpointConfigName"]]
        return {}

    def _new_arn(self, records: Records, kind: str, noun: str, name: str) -> str:
        arn = make_arn(self._settings, kind, name)
        if name in records:
            raise invalid(f'Cannot create already existing {noun} "{arn}".')
        return arn

    def _found(self, records: Records, kind: str, noun: str, name: str) -> dict[str, Any]:
        if name not in records:
            raise invalid(f'Could not find {noun} "{make_arn(self._settings, kind, name)}".')
        return records[name]


def check_asynchronous(config: dict[str, Any] | None) -> None:
    """BadRequest for an AsyncInferenceConfig that is more than is done here, or less."""
    output = (config or {}).get("OutputConfig", {})
    if config is not None and not output.get("S3OutputPath"):
        raise invalid("AsyncInferenceConfig: OutputConfig needs an S3OutputPath.")
    if (output.get("NotificationConfig") or {}).get("IncludeInferenceResponseIn"):
        raise invalid("The local cloud has no IncludeInferenceResponseIn.")
