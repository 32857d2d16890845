"""SageMaker's runtime: InvokeEndpoint with its limits, errors and metrics."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from local_cloud.api_shapes import BadRequest
from local_cloud.ministack.identity import enter_account
from local_cloud.ministack.telemetry import Metric, put_metrics
from local_cloud.sagemaker.endpoint import Endpoint
from local_cloud.sagemaker.endpoints import Endpoints
from local_cloud.sagemaker.fleet import Fleet
from local_cloud.settings import CloudSettings
from sd_contract.limits import INVOCATION_BYTES, INVOCATION_S

HttpAnswer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""

NAMESPACE = "AWS/SageMaker"
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
            endpoint, fleet = self._target(name, body)
            with fleet.instance() as instance:
                if instance is None:
                    # botocore's text of the error.
                    raise BadRequest(
                        "ServiceUnavailable",
                        "The service is unavailable. Try your call again.",
                        503,
                    )
                port = instance.container.port
                passed = container_headers(headers, "application/json")
                answer = forward(name, port, passed, body, self._timeout_s)
        except BadRequest as error:
            return http_error(error.status, error.code, {"Message": str(error)})
        self._measure(endpoint, fleet, answer, time.perf_counter() - started)
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

    def _target(self, name: str, body: bytes) -> tuple[Endpoint, Fleet]:
        endpoint, fleet = self._endpoints.taking_invocations(name)
        if endpoint.asynchronous:
            # The code: strands-agents/harness-sdk#1969; the sentence is the developer guide's
            # (async-inference).
            raise BadRequest(
                "ValidationError", f"Endpoint {name} can only receive asynchronous invocations."
            )
        if len(body) > INVOCATION_BYTES:
            raise BadRequest(
                "ValidationError",
                "1 validation error detected: Value at 'body' failed to satisfy constraint: "
                f"Member must have length less than or equal to {INVOCATION_BYTES}",
            )
        return endpoint, fleet

    def _measure(
        self, endpoint: Endpoint, fleet: Fleet, answer: ContainerAnswer, total_s: float
    ) -> None:
        instances = len(fleet.instances) or 1
        metrics = [
            *invocation_metrics(answer, total_s),
            Metric("Invocations", 1.0, "None"),
            # Its Sum is what each instance has had (developer guide, monitoring-cloudwatch).
            Metric("InvocationsPerInstance", 1.0 / instances, "None"),
        ]
        put_invocation_metrics(endpoint.name, fleet, metrics)

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
        return http_error(424, "ModelError", document)


def invocation_metrics(answer: ContainerAnswer, total_s: float) -> list[Metric]:
    """Those of SageMaker's that the alarms and the benchmark look at; latencies in microseconds.

    An error by its status is one that "the model returned"; InvocationModelErrors "includes 4XX/5XX
    status codes, low-level socket errors, malformed HTTP responses, and request timeouts"
    (developer guide, monitoring-cloudwatch).
    """
    model_us = answer.seconds * 1e6
    return [
        Metric("ModelLatency", model_us, "Microseconds"),
        Metric("OverheadLatency", max(total_s * 1e6 - model_us, 0.0), "Microseconds"),
        Metric("Invocation4XXErrors", float(400 <= answer.status < 500), "None"),
        Metric("Invocation5XXErrors", float(answer.status >= 500), "None"),
        Metric("InvocationModelErrors", float(not 200 <= answer.status < 300), "None"),
    ]


def put_invocation_metrics(endpoint: str, fleet: Fleet, metrics: Sequence[Metric]) -> None:
    """With the dimensions of an endpoint's variant, and with those of its one fleet."""
    dimensions = {"EndpointName": endpoint, "VariantName": fleet.production_variant}
    # The second is each fleet's own (developer guide, deployment-guardrails-configuration).
    own = {"EndpointConfigName": fleet.config["EndpointConfigName"]}
    for more in ({}, own):
        put_metrics(NAMESPACE, {**dimensions, **more}, metrics)


def container_headers(headers: Mapping[str, str], content_type: str) -> dict[str, str]:
    """What a container gets of an invocation's; `content_type` is for one that says none."""
    passed = {
        "Content-Type": headers.get("content-type", content_type),
        "Accept": headers.get("accept", "*/*"),
    }
    if custom := headers.get(CUSTOM):
        passed[CUSTOM] = custom
    return passed


def forward(
    endpoint: str, port: int, headers: Mapping[str, str], body: bytes, timeout_s: float
) -> ContainerAnswer:
    """One POST /invocations to a container; never raises for what it does."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    status, kept = 0, dict[str, str]()
    try:
        connection.request("POST", "/invocations", body, dict(headers))
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


def http_error(status: int, code: str, document: dict[str, Any]) -> HttpAnswer:
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    return status, headers, json.dumps(document).encode()
