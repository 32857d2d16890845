"""InvokeEndpointAsync: accepted, fetched from S3, invoked, put to S3, and told by SNS.

Everything in S3 and SNS is done under the model's execution role, as on AWS (developer guide,
async-inference-create-endpoint-prerequisites).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from local_cloud import aws
from local_cloud.api_shapes import BadRequest
from local_cloud.ministack.identity import enter_account, run_in_account
from local_cloud.ministack.telemetry import LogStream, Metric
from local_cloud.sagemaker.async_queue import DEFAULT_CONCURRENCY, AsyncQueue, Backlog
from local_cloud.sagemaker.async_request import AsyncRequest, accepted_request
from local_cloud.sagemaker.endpoint import Endpoint
from local_cloud.sagemaker.endpoints import Endpoints
from local_cloud.sagemaker.fleet import Fleet
from local_cloud.sagemaker.resources import sagemaker_role
from local_cloud.sagemaker.runtime import (
    HttpAnswer,
    container_headers,
    forward,
    http_error,
    invocation_metrics,
    put_invocation_metrics,
)
from local_cloud.settings import CloudSettings

# AWS's own sentence about a container that answers in chunks (deepjavalibrary/djl-serving#2567).
NO_LENGTH = "The response from container primary did not specify the required Content-Length header"
# The sentence of a failed notification (aws-solutions-library-samples/osml-model-runner).
MODEL_FAILED = (
    "ClientError: Received {side} error ({status}) from model. See the SageMaker Endpoint logs in "
    "your account for more information."
)


class InvocationFailed(Exception):
    """The message is the notification's failureReason; `metric` counts it."""

    def __init__(
        self, reason: str, metric: str = "InvocationFailures", answer: bytes = b""
    ) -> None:
        super().__init__(reason)
        self.metric, self.answer = metric, answer


class InvokeEndpointAsync:
    """Takes the requests, and has a queue for each asynchronous endpoint."""

    def __init__(self, settings: CloudSettings, endpoints: Endpoints) -> None:
        self._settings, self._endpoints = settings, endpoints
        self._queues: dict[str, tuple[Endpoint, AsyncQueue]] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """`headers` have lower-case names."""
        enter_account(self._settings)
        try:
            endpoint, _ = self._endpoints.taking_invocations(name)
            request = accepted_request(name, endpoint, headers, body)
        except BadRequest as error:
            return http_error(error.status, error.code, {"Message": str(error)})
        self._queue(endpoint).put(request)
        answer = {"Content-Type": "application/json"}
        answer["X-Amzn-SageMaker-OutputLocation"] = request.output_location
        if request.failure_location:
            answer["X-Amzn-SageMaker-FailureLocation"] = request.failure_location
        return 202, answer, json.dumps({"InferenceId": request.inference_id}).encode()

    def backlog(self, endpoint: Endpoint) -> Backlog:
        return self._queue(endpoint).backlog()

    def _queue(self, endpoint: Endpoint) -> AsyncQueue:
        with self._lock:
            known, queue = self._queues.get(endpoint.name, (None, None))
            if known is not endpoint or queue is None:
                queue = AsyncQueue(
                    EndpointWorker(self._settings, endpoint),
                    lambda work: run_in_account(self._settings, work, f"async-{endpoint.name}"),
                )
                self._queues[endpoint.name] = endpoint, queue
                run_in_account(self._settings, queue.run, f"async-queue-{endpoint.name}")
            return queue


class EndpointWorker:
    """Does what one endpoint's queue hands out."""

    def __init__(self, settings: CloudSettings, endpoint: Endpoint) -> None:
        self._settings, self._endpoint = settings, endpoint

    def slots(self) -> int | None:
        if self._endpoint.status == "Deleting":
            return None
        client = (self._endpoint.asynchronous or {}).get("ClientConfig") or {}
        each = client.get("MaxConcurrentInvocationsPerInstance", DEFAULT_CONCURRENCY)
        fleet = self._endpoint.fleet
        healthy = [one for one in (fleet.instances if fleet else ()) if one.container.healthy]
        return int(each) * len(healthy)

    def process(self, request: AsyncRequest) -> None:
        fleet = self._endpoint.fleet
        assert fleet is not None
        waited_us = (time.time() - request.received) * 1e6
        measured = [Metric("TimeInBacklog", waited_us, "Microseconds")]
        try:
            content_type = self._invoke(fleet, request)
        except InvocationFailed as error:
            measured.append(Metric(error.metric, 1.0, "Count"))
            self._fail(fleet, request, "Failed", str(error), error.answer)
        else:
            parameters = {"contentType": content_type, "outputLocation": request.output_location}
            self._notify(fleet, request, "Completed", {"responseParameters": parameters})
        # AWS's own spelling (developer guide, async-inference-monitor).
        measured.append(Metric("InvocationsProcesssed", 1.0, "Count"))
        put_invocation_metrics(self._endpoint.name, fleet, measured)

    def expire(self, request: AsyncRequest) -> None:
        fleet = self._endpoint.fleet
        assert fleet is not None
        reason = f"ClientError: The request waited for more than {request.ttl_s:g} s and expired."
        put_invocation_metrics(
            self._endpoint.name, fleet, [Metric("ExpiredRequests", 1.0, "Count")]
        )
        self._fail(fleet, request, "Expired", reason, b"")

    def _invoke(self, fleet: Fleet, request: AsyncRequest) -> str:
        """The output's content type, once it is in S3."""
        body = self._download(fleet, request)
        name = self._endpoint.name
        with fleet.instance() as instance:
            if instance is None:
                raise InvocationFailed("ClientError: no instance of the endpoint is healthy.")
            headers = container_headers(request.headers, "application/octet-stream")
            answer = forward(name, instance.container.port, headers, body, request.timeout_s)
        # No other common one is published for these (developer guide, async-inference-monitor).
        common = invocation_metrics(answer, answer.seconds)
        unpublished = ("OverheadLatency", "InvocationModelErrors")
        common = [metric for metric in common if metric.name not in unpublished]
        put_invocation_metrics(name, fleet, common)
        if answer.status == 0:
            raise InvocationFailed(f"ClientError: {answer.body.decode()}")
        if not 200 <= answer.status < 300:
            side = "client" if answer.status < 500 else "server"
            reason = MODEL_FAILED.format(side=side, status=answer.status)
            raise InvocationFailed(reason, answer=answer.body)
        if "content-length" not in answer.headers:
            raise InvocationFailed(f"ClientError: {NO_LENGTH}")
        content_type = answer.headers.get("content-type", "application/octet-stream")
        try:
            self._upload(fleet, request.output_location, answer.body, content_type)
        except aws.TransferErrors as error:
            reason = f"ClientError: Failed to upload {request.output_location}: {error}"
            raise InvocationFailed(reason, "ResponseUploadFailures") from error
        return content_type

    def _download(self, fleet: Fleet, request: AsyncRequest) -> bytes:
        if request.body is not None:
            return request.body
        bucket, key = aws.split_s3_uri(request.input_location)
        try:
            found = self._client(fleet, "s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        except aws.TransferErrors as error:
            reason = f"ClientError: Failed to download {request.input_location}: {error}"
            raise InvocationFailed(reason, "RequestDownloadFailures") from error
        return bytes(found)

    def _upload(self, fleet: Fleet, location: str, body: bytes, content_type: str) -> None:
        bucket, key = aws.split_s3_uri(location)
        output = (self._endpoint.asynchronous or {}).get("OutputConfig") or {}
        encryption = {}
        if key_id := output.get("KmsKeyId"):
            encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id}
        self._client(fleet, "s3").put_object(
            Bucket=bucket, Key=key, Body=body, ContentType=content_type, **encryption
        )

    def _fail(
        self, fleet: Fleet, request: AsyncRequest, status: str, reason: str, answer: bytes
    ) -> None:
        parameters = {}
        if request.failure_location:
            body = answer or json.dumps({"message": reason}).encode()
            try:
                self._upload(fleet, request.failure_location, body, "application/json")
                parameters = {
                    "contentType": "application/json",
                    "failureLocation": request.failure_location,
                }
            except aws.TransferErrors as error:
                self._log(fleet, request, f"Failed to upload {request.failure_location}: {error}")
        self._log(fleet, request, reason)
        told: dict[str, Any] = {"failureReason": reason, "responseParameters": parameters}
        self._notify(fleet, request, status, told)

    def _notify(
        self, fleet: Fleet, request: AsyncRequest, status: str, result: Mapping[str, Any]
    ) -> None:
        """Publish the notification of a result, in the form of the developer guide's
        async-inference-check-predictions."""
        output = (self._endpoint.asynchronous or {}).get("OutputConfig") or {}
        topics = output.get("NotificationConfig") or {}
        topic = topics.get("SuccessTopic" if status == "Completed" else "ErrorTopic")
        if not topic:
            return
        named = {"content-type": "contentType", "accept": "accept"}
        parameters = {named[key]: value for key, value in request.headers.items() if key in named}
        parameters |= {
            "endpointName": self._endpoint.name,
            "inputLocation": request.input_location,
        }
        message = {
            "awsRegion": self._settings.region,
            "eventTime": timestamp(time.time()),
            "receivedTime": timestamp(request.received),
            "invocationStatus": status,
            "requestParameters": parameters,
            **result,
            "inferenceId": request.inference_id,
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        }
        # A standard topic delivers at least once (SNS developer guide): twice on a test's demand.
        times = 1 if self._settings.fault("notified-twice") is None else 2
        try:
            for _ in range(times):
                self._client(fleet, "sns").publish(TopicArn=topic, Message=json.dumps(message))
        except aws.TransferErrors as error:
            put_invocation_metrics(
                self._endpoint.name, fleet, [Metric("NotificationFailures", 1.0, "Count")]
            )
            self._log(fleet, request, f"Failed to publish to {topic}: {error}")

    def _log(self, fleet: Fleet, request: AsyncRequest, line: str) -> None:
        """Into the platform's log (developer guide, async-inference-monitor)."""
        group = f"/aws/sagemaker/Endpoints/{self._endpoint.name}"
        role = sagemaker_role(self._settings, fleet.execution_role)
        stream = LogStream(self._settings, group, f"{fleet.production_variant}/data-log", role)
        stream.write(f"{timestamp(time.time())}:[sagemaker logs] [{request.inference_id}] {line}")

    def _client(self, fleet: Fleet, service: str) -> Any:
        role = sagemaker_role(self._settings, fleet.execution_role)
        return aws.client(self._settings, service, role)


def timestamp(seconds: float) -> str:
    """As in "2023-05-23T03:23:21.814Z"."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
