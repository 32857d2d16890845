"""SageMaker's runtime: InvokeEndpoint with its limits, errors and metrics."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from local_cloud.api_shapes import BadRequest
from local_cloud.ministack.identity import enter_account
from local_cloud.ministack.telemetry import Metric, put_metrics
from local_cloud.sagemaker.endpoints import Endpoints
from local_cloud.sagemaker.fleet import Fleet
from local_cloud.settings import CloudSettings
from sd_contract.limits import INVOCATION_BYTES, INVOCATION_S

HttpAnswer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""

CUSTOM = "x-amzn-sagemaker-custom-attributes"
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


class InvokeEndpoint:
    """Passes requests on to containers. Blocking: call it from a thread of its own."""

    def __init__(self, settings: CloudSettings, endpoints: Endpoints) -> None:
        self._settings, self._endpoints = settings, endpoints
        self._timeout_s = settings.invoke_timeout_s or float(INVOCATION_S)

    def __call__(self, name: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """`headers` have lower-case names."""
        enter_account(self._settings)
        started = time.perf_counter()
        try:
            fleet, port = self._target(name, body)
        except BadRequest as error:
            return _error(error.status, error.code, {"Message": str(error)})
        answer = self._forward(name, port, headers, body)
        self._measure(name, fleet, answer, time.perf_counter() - started)
        if not 200 <= answer.status < 300:
            return self._model_error(name, answer)
        if len(answer.body) > INVOCATION_BYTES:
            too_large = b"Response payload size exceeded the limit"
            return self._model_error(name, replace(answer, status=413, body=too_large))
        result = {
            "Content-Type": answer.headers.get("content-type", "application/octet-stream"),
            "x-Amzn-Invoked-Production-Variant": fleet.production_variant,
        }
        if custom := answer.headers.get(CUSTOM):
            result[CUSTOM] = custom
        return 200, result, answer.body

    def _target(self, name: str, body: bytes) -> tuple[Fleet, int]:
        """The fleet, and the port of its container."""
        fleet = self._endpoints.serving(name)
        if fleet is None:
            # aws/amazon-sagemaker-examples#559.
            account = self._settings.account
            raise BadRequest("ValidationError", f"Endpoint {name} of account {account} not found.")
        if len(body) > INVOCATION_BYTES:
            raise BadRequest(
                "ValidationError",
                "1 validation error detected: Value at 'body' failed to satisfy constraint: "
                f"Member must have length less than or equal to {INVOCATION_BYTES}",
            )
        if (port := fleet.port) is None:
            # botocore's text of the error.
            raise BadRequest(
                "ServiceUnavailable", "The service is unavailable. Try your call again.", 503
            )
        return fleet, port

    def _forward(
        self, endpoint: str, port: int, headers: Mapping[str, str], body: bytes
    ) -> ContainerAnswer:
        """One POST /invocations to a container; never raises for what it does."""
        started = time.perf_counter()
        passed = {
            "Content-Type": headers.get("content-type", "application/json"),
            "Accept": headers.get("accept", "*/*"),
        }
        if custom := headers.get(CUSTOM):
            passed[CUSTOM] = custom
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=self._timeout_s)
        status, kept = 0, dict[str, str]()
        try:
            connection.request("POST", "/invocations", body, passed)
            response = connection.getresponse()
            content, status = response.read(), response.status
            kept = {name.lower(): value for name, value in response.getheaders()}
        except TimeoutError:
            content = TIMED_OUT.encode()
        except (OSError, http.client.HTTPException):
            content = NO_RESPONSE.format(endpoint=endpoint).encode()
        finally:
            connection.close()
        return ContainerAnswer(status, content, kept, time.perf_counter() - started)

    def _measure(self, name: str, fleet: Fleet, answer: ContainerAnswer, total_s: float) -> None:
        metrics = invocation_metrics(answer, total_s)
        dimensions = {"EndpointName": name, "VariantName": fleet.production_variant}
        # The second is each fleet's own (developer guide, deployment-guardrails-configuration).
        own = {"EndpointConfigName": fleet.config["EndpointConfigName"]}
        for more in ({}, own):
            put_metrics("AWS/SageMaker", {**dimensions, **more}, metrics)

    def _model_error(self, name: str, answer: ContainerAnswer) -> HttpAnswer:
        """The container's own error, as SageMaker wraps it."""
        settings, said = self._settings, answer.body.decode("utf-8", "replace")
        group = f"/aws/sagemaker/Endpoints/{name}"
        side = "client" if 400 <= answer.status < 500 else "server"
        document = {
            "Message": f"Received {side} error ({answer.status}) from primary with message "
            f'"{said}". See https://{settings.region}.console.aws.amazon.com/cloudwatch/home'
            f"?region={settings.region}#logEventViewer:group={group} in account "
            f"{settings.account} for more information.",
            "OriginalStatusCode": answer.status,
            "OriginalMessage": said,
            "LogStreamArn": settings.arn("logs", f"log-group:{group}"),
        }
        return _error(424, "ModelError", document)


def invocation_metrics(answer: ContainerAnswer, total_s: float) -> list[Metric]:
    """Those of SageMaker's that the alarms and the benchmark look at; latencies in microseconds."""
    model_us = answer.seconds * 1e6
    server_error = answer.status == 0 or answer.status >= 500
    return [
        Metric("ModelLatency", model_us, "Microseconds"),
        Metric("OverheadLatency", max(total_s * 1e6 - model_us, 0.0), "Microseconds"),
        Metric("Invocation5XXErrors", float(server_error), "Count"),
    ]


def _error(status: int, code: str, document: dict[str, Any]) -> HttpAnswer:
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    return status, headers, json.dumps(document).encode()
