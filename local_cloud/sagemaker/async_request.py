"""What InvokeEndpointAsync takes, and how it is kept until its turn comes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from local_cloud.api_shapes import BadRequest, check_shape, coerced_to, input_shape
from local_cloud.sagemaker.endpoint import Endpoint

# botocore's defaults of RequestTTLSeconds and InvocationTimeoutSeconds. Both count real seconds
# here: what they bound is work, which takes as long as it takes.
TTL_S = 21_600
TIMEOUT_S = 900
# The request's headers as the container gets them.
PASSED_HEADERS = {
    "x-amzn-sagemaker-content-type": "content-type",
    "x-amzn-sagemaker-accept": "accept",
    "x-amzn-sagemaker-custom-attributes": "x-amzn-sagemaker-custom-attributes",
}


@dataclass(frozen=True)
class AsyncRequest:
    """`received` is in seconds since the epoch; headers' names have small letters."""

    inference_id: str
    input_location: str
    output_location: str
    failure_location: str | None
    headers: Mapping[str, str]
    ttl_s: float
    timeout_s: float
    body: bytes | None = None
    """What came inline."""
    received: float = field(default_factory=time.time)


def accepted_request(
    name: str, endpoint: Endpoint, headers: Mapping[str, str], body: bytes
) -> AsyncRequest:
    """BadRequest for what InvokeEndpointAsync refuses."""
    shape = input_shape("sagemaker-runtime", "InvokeEndpointAsync")
    given = {
        member: headers[header.lower()]
        for member, part in shape.members.items()
        if (header := part.serialization.get("name", "")).lower() in headers
    }
    request = coerced_to(shape, {**given, "EndpointName": name})
    try:
        check_shape(shape, request)
    except BadRequest as error:
        raise BadRequest("ValidationError", str(error)) from error
    if len(body) > (limit := shape.members["Body"].metadata["max"]):
        raise BadRequest("ValidationError", f"Body must be at most {limit} bytes.")
    if endpoint.asynchronous is None:
        raise BadRequest(
            "ValidationError",
            f"Endpoint {name} has no AsyncInferenceConfig: it can't receive asynchronous "
            "invocations.",
        )
    if bool(body) == ("InputLocation" in request):
        # botocore's text of Body.
        raise BadRequest(
            "ValidationError",
            "Body and InputLocation are mutually exclusive. Provide exactly one of them.",
        )
    output = endpoint.asynchronous["OutputConfig"]
    file_id, extension = uuid.uuid4(), request.get("S3OutputPathExtension")

    def location(path: str, file_name: str) -> str:
        return "/".join(part.strip("/") for part in (path, extension or "", file_name) if part)

    failures = output.get("S3FailurePath")
    return AsyncRequest(
        inference_id=request.get("InferenceId") or str(uuid.uuid4()),
        input_location=request.get("InputLocation", ""),
        output_location=location(
            output["S3OutputPath"], request.get("Filename") or f"{file_id}.out"
        ),
        failure_location=location(failures, f"{file_id}-error.out") if failures else None,
        headers={plain: headers[sent] for sent, plain in PASSED_HEADERS.items() if sent in headers},
        ttl_s=float(request.get("RequestTTLSeconds", TTL_S)),
        timeout_s=float(request.get("InvocationTimeoutSeconds", TIMEOUT_S)),
        body=body or None,
    )
