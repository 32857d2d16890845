"""SageMaker's runtime: InvokeEndpoint with its limits, errors and metrics."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_cloud.api_shapes import BadRequest
from local_cloud.bridge import Metric, enter_account, put_metrics
from local_cloud.endpoint_fleet import Variant
from local_cloud.sagemaker_control import SageMakerControl
from local_cloud.sagemaker_endpoints import Endpoint
from local_cloud.settings import CloudSettings

PREFIX = "x-amzn-sagemaker-"
# SageMaker's sentences where the container gave no answer, both under status 0. Time-out:
# aws-samples/host-yolov8-on-sagemaker-endpoint#21. Died, with workers "abnormally terminated" in
# the log: aws/amazon-sagemaker-examples#2815, #3089.
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the "
    "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)
NO_RESPONSE = (
    "Amazon SageMaker could not get a response from the {endpoint} endpoint. This can occur when "
    "CPU or memory utilization is high. To check your utilization, see Amazon CloudWatch. To fix "
    "this problem, use an instance type with more CPU capacity or memory."
)


@dataclass(frozen=True)
class ContainerAnswer:
    """What a container answered; status 0 where it gave none (timeout, connection lost)."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    headers: dict[str, str]
    body: bytes


class ModelError(Exception):
    """The container's own error, as SageMaker wraps it (HTTP 424)."""

    def __init__(
        self, endpoint: Endpoint, settings: CloudSettings, answer: ContainerAnswer
    ) -> None:
        self.original_status = answer.status
        self.original_message = answer.body.decode("utf-8", "replace")
        group = f"/aws/sagemaker/Endpoints/{endpoint.name}"
        self.log_arn = f"arn:aws:logs:{settings.region}:{settings.account}:log-group:{group}"
        side = "client" if 400 <= answer.status < 500 else "server"
        super().__init__(
            f"Received {side} error ({answer.status}) from primary with message "
            f'"{self.original_message}". See https://{settings.region}.console.aws.amazon.com/'
            f"cloudwatch/home?region={settings.region}#logEventViewer:group={group} in account "
            f"{settings.account} for more information."
        )


class SageMakerRuntime:
    """Passes requests on to containers. Blocking: call it from a thread of its own."""

    def __init__(self, control: SageMakerControl) -> None:
        self._control = control
        self._settings = control.settings

    def invoke(self, name: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """InvokeEndpoint. `headers` have lower-case names."""
        enter_account(self._settings)
        started = time.perf_counter()
        try:
            endpoint, variant = self._target(name, headers, body)
        except BadRequest as error:
            return _error(error.status, error.code, {"Message": str(error)})
        answer = self.forward(name, variant, headers, body, self._settings.invoke_timeout_s)
        self._measure(endpoint, variant, answer, time.perf_counter() - started)
        if not 200 <= answer.status < 300:
            return self._model_error(ModelError(endpoint, self._settings, answer))
        if len(answer.body) > self._settings.max_body_bytes:
            too_large = ContainerAnswer(
                413, b"Response payload size exceeded the limit", {}, answer.seconds
            )
            return self._model_error(ModelError(endpoint, self._settings, too_large))
        result = {
            "Content-Type": answer.headers.get("content-type", "application/octet-stream"),
            "x-Amzn-Invoked-Production-Variant": variant.name,
        }
        if custom := answer.headers.get(f"{PREFIX}custom-attributes"):
            result["X-Amzn-SageMaker-Custom-Attributes"] = custom
        return HttpAnswer(200, result, answer.body)

    def forward(
        self,
        endpoint: str,
        variant: Variant,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float,
    ) -> ContainerAnswer:
        """One POST /invocations to a variant's container; never raises for what it does."""
        started = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", variant.container.port, timeout=0.001)
        passed = {
            "Content-Type": headers.get("content-type", "application/json"),
            "Accept": headers.get("accept", "*/*"),
        }
        if custom := headers.get(f"{PREFIX}custom-attributes"):
            passed["X-Amzn-SageMaker-Custom-Attributes"] = custom
        try:
            connection.timeout = timeout_s
            connection.request("POST", "/invocations", body, passed)
            response = connection.getresponse()
            content = _read_within(connection, response, started + timeout_s)
            kept = {name.lower(): value for name, value in response.getheaders()}
            return ContainerAnswer(response.status, content, kept, time.perf_counter() - started)
        except TimeoutError:
            return ContainerAnswer(0, TIMED_OUT.encode(), {}, time.perf_counter() - started)
        except (OSError, http.client.HTTPException):
            message = NO_RESPONSE.format(endpoint=endpoint).encode()
            return ContainerAnswer(0, message, {}, time.perf_counter() - started)
        finally:
            connection.close()

    def _target(
        self, name: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[Endpoint, Variant]:
        endpoint = self._control.endpoints.endpoints.get(name)
        if endpoint is None or endpoint.fleet is None or endpoint.status == "Deleting":
            # aws/amazon-sagemaker-examples#559.
            account = self._settings.account
            raise BadRequest("ValidationError", f"Endpoint {name} of account {account} not found.")
        if "AsyncInferenceConfig" in endpoint.config:
            raise BadRequest(
                "ValidationError",
                f"Endpoint {name} is an async endpoint: it takes InvokeEndpointAsync.",
            )
        if len(body) > self._settings.max_body_bytes:
            raise BadRequest(
                "ValidationError",
                "1 validation error detected: Value at 'body' failed to satisfy constraint: "
                f"Member must have length less than or equal to {self._settings.max_body_bytes}",
            )
        wanted = headers.get(f"{PREFIX}target-variant")
        variant = endpoint.fleet.pick(wanted)
        if variant is None:
            raise BadRequest("ValidationError", f"Variant {wanted} not found for endpoint {name}.")
        if not variant.container.healthy:
            # botocore's text of the error.
            raise BadRequest(
                "ServiceUnavailable", "The service is unavailable. Try your call again.", 503
            )
        return endpoint, variant

    def _measure(
        self, endpoint: Endpoint, variant: Variant, answer: ContainerAnswer, total_s: float
    ) -> None:
        metrics = invocation_metrics(answer, total_s, variant.instances)
        dimensions = {"EndpointName": endpoint.name, "VariantName": variant.name}
        # The second is each fleet's own (developer guide, deployment-guardrails-configuration).
        for more in ({}, {"EndpointConfigName": variant.config}):
            put_metrics("AWS/SageMaker", {**dimensions, **more}, metrics)

    @staticmethod
    def _model_error(error: ModelError) -> HttpAnswer:
        return _error(
            424,
            "ModelError",
            {
                "Message": str(error),
                "OriginalStatusCode": error.original_status,
                "OriginalMessage": error.original_message,
                "LogStreamArn": error.log_arn,
            },
        )


def invocation_metrics(answer: ContainerAnswer, total_s: float, instances: int) -> list[Metric]:
    """SageMaker's invocation metrics for one request; latencies in microseconds."""
    model_us = answer.seconds * 1e6
    client_error = 400 <= answer.status < 500
    server_error = answer.status == 0 or answer.status >= 500
    return [
        Metric("Invocations", 1, "Count"),
        Metric("InvocationsPerInstance", 1 / max(instances, 1), "Count"),
        Metric("ModelLatency", model_us, "Microseconds"),
        Metric("OverheadLatency", max(total_s * 1e6 - model_us, 0.0), "Microseconds"),
        Metric("Invocation4XXErrors", float(client_error), "Count"),
        Metric("Invocation5XXErrors", float(server_error), "Count"),
        Metric("InvocationModelErrors", float(client_error or server_error), "Count"),
    ]


def _read_within(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse, deadline: float
) -> bytes:
    """The body; TimeoutError once `deadline` passes, however steadily bytes drip in."""
    chunks: list[bytes] = []
    while True:
        left = deadline - time.perf_counter()
        if left <= 0:
            raise TimeoutError
        if connection.sock is not None:
            connection.sock.settimeout(left)
        chunk = response.read1(1 << 20)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


def _error(status: int, code: str, document: dict[str, Any]) -> HttpAnswer:
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    return HttpAnswer(status, headers, json.dumps(document).encode())
