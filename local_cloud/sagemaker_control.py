"""SageMaker's control plane: one operation at a time, checked against botocore's model first.

One account and region.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from local_cloud.alarms import Alarms
from local_cloud.api_shapes import BadRequest, check_request
from local_cloud.sagemaker_endpoints import Endpoints
from local_cloud.sagemaker_models import Models
from local_cloud.sagemaker_resources import Operations, Tags, make_arn
from local_cloud.sagemaker_training import TrainingJobs
from local_cloud.settings import CloudSettings


class SageMakerControl:
    """Every operation by name, and the records behind them for the runtime and CloudFormation."""

    def __init__(self, settings: CloudSettings, alarms: Alarms) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self.tags = Tags()
        self.models = Models(settings, self.tags)
        self.endpoints = Endpoints(settings, self.models, self.tags, self._lock, alarms)
        self.training = TrainingJobs(settings, lambda kind, name: make_arn(settings, kind, name))
        self._operations: Operations = {
            **self.models.operations,
            **self.endpoints.operations,
            **self.training.operations,
            **self.tags.operations,
        }

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one operation; BadRequest is its error."""
        handler = self._operations.get(operation)
        if handler is None:
            raise BadRequest(
                "UnknownOperationException", f"The local cloud has no SageMaker {operation}"
            )
        check_request("sagemaker", operation, request)
        with self._lock:
            return handler(request)

    def stop(self) -> None:
        """End every container and every training job."""
        self.training.stop()
        self.endpoints.stop()
