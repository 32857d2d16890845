"""SageMaker's control plane: one operation at a time, checked against botocore's model first.

One account and region.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from local_cloud.api_shapes import BadRequest, check_request
from local_cloud.ministack.alarms import Alarms
from local_cloud.sagemaker.async_invocation import InvokeEndpointAsync
from local_cloud.sagemaker.endpoints import Endpoints
from local_cloud.sagemaker.models import Models
from local_cloud.sagemaker.publishing import EndpointMetrics
from local_cloud.sagemaker.resources import Operations
from local_cloud.sagemaker.training import TrainingJobs
from local_cloud.settings import CloudSettings


class SageMakerControl:
    """Every operation by name, and the records behind them for the runtime and CloudFormation."""

    def __init__(self, settings: CloudSettings, alarms: Alarms) -> None:
        self._lock = threading.RLock()
        self.endpoints = Endpoints(settings, models := Models(settings), self._lock, alarms)
        self.invoke_asynchronously = InvokeEndpointAsync(settings, self.endpoints)
        backlog = self.invoke_asynchronously.backlog
        self._end_metrics = EndpointMetrics(settings, self.endpoints, backlog).start()
        self._training = TrainingJobs(settings)
        self._operations: Operations = {
            **models.operations,
            **self.endpoints.operations,
            **self._training.operations,
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
        self._end_metrics()
        self._training.stop()
        self.endpoints.stop()
