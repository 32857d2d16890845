"""One SageMaker invocation: the container's contract turned into our types and errors.

An error of the container is judged by the error type in its body, not by its HTTP status: the
Hugging Face toolkit turns every exception of a handler into a 400. Two statuses are believed:

- 0 is SageMaker's own: the container gave no answer. It died, or took too long.
- 503 is what a server says of itself: our NotReady, DJL Serving with a full queue or without a
  worker. No toolkit makes it of a handler's exception, and SageMaker may leave out the body ("could
  not load the entire response body", aws/amazon-sagemaker-examples#4324).
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)

from front_door.errors import (
    EndpointError,
    EndpointNotFound,
    EndpointThrottled,
    EndpointTimeout,
    EndpointUnavailable,
    FrontDoorError,
    InvalidRequest,
    Problem,
)
from front_door.generation import GenerationRequest

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_STAGES = ("text_encoder", "denoise", "vae_decode", "png")

# The container's field → the API's, where they differ.
_API_FIELDS = {"num_images": "n", "height": "size", "width": "size"}

_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
}
# ValidationError is also what SageMaker says of an endpoint without capacity; our body can't be
# what it means, as its size and shape are checked before.
_UNAVAILABLE = {
    "ValidationError",
    "ValidationException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "ModelNotReadyException",
}
# aws/amazon-sagemaker-examples#559: of an endpoint that was deleted.
_NOT_FOUND = re.compile(r"ValidationError: Endpoint \S+ of account \S+ not found")
# DJL Serving v0.27.0 without its Python process: no worker can be started any more (status 500,
# PyModel.java), or the process has died between two requests (status 400, PyProcess.java, seen with
# the real server). What a handler raises never comes under these.
_NO_WORKER = {
    "EngineException": "",
    "TranslateException": "Backend Python process is stopped.",
}


class SageMakerRuntime(Protocol):
    """The part of boto3's sagemaker-runtime client that is used.

    Its read timeout has to end before the gateway's, and it must not retry: the container would
    draw the same images twice, and the second answer would come too late.
    """

    def invoke_endpoint(self, **kwargs: Any) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class StageTimings:
    """Milliseconds in the container; all but `png` for the whole batch the request was part of."""

    text_encoder: float
    denoise: float
    vae_decode: float
    png: float


@dataclass(frozen=True)
class Generated:
    """PNGs in the order of the request's seeds."""

    images: tuple[bytes, ...]
    timings: StageTimings
    images_in_batch: int
    """What `timings` are of: these images, and those of requests they were batched with."""


def generate(runtime: SageMakerRuntime, request: GenerationRequest, request_id: str) -> Generated:
    """`request_id` goes along for the container's log.

    Raises InvalidRequest where the container refuses a field, EndpointThrottled,
    EndpointNotFound, EndpointUnavailable, EndpointTimeout, and EndpointError for all else.
    """
    try:
        response = runtime.invoke_endpoint(
            EndpointName=request.variant.endpoint_name,
            ContentType="application/json",
            Accept="application/json",
            CustomAttributes=f"request_id={request_id}",
            Body=json.dumps(_container_body(request)).encode(),
        )
        payload = response["Body"].read()
    except ReadTimeoutError as error:
        raise EndpointTimeout(str(error)) from error
    except (ConnectionError, HTTPClientError) as error:
        raise EndpointUnavailable(str(error)) from error
    except ClientError as error:
        raise _from_client_error(error.response) from error
    except BotoCoreError as error:
        raise EndpointError(str(error)) from error
    return _parse(payload, request)


def _container_body(request: GenerationRequest) -> dict[str, Any]:
    body = {
        "prompt": request.prompt,
        "num_images": request.n,
        "height": request.size.height,
        "width": request.size.width,
        "num_inference_steps": request.num_inference_steps,
        "guidance_scale": request.guidance_scale,
        "seed": request.seeds[0],
    }
    if request.negative_prompt is not None:
        body["negative_prompt"] = request.negative_prompt
    return body


def _from_client_error(response: Mapping[str, Any]) -> FrontDoorError:
    error = response.get("Error", {})
    code = error.get("Code", "")
    text = f"{code}: {error.get('Message', '')}"
    if code in _THROTTLED:
        return EndpointThrottled(text)
    if _NOT_FOUND.match(text):
        return EndpointNotFound(text)
    if code in _UNAVAILABLE:
        return EndpointUnavailable(text)
    if code != "ModelError":
        return EndpointError(text)

    status = response.get("OriginalStatusCode")
    if status == 0:
        # "Your invocation timed out while waiting for a response from container primary": its 60 s
        # are over (aws/amazon-sagemaker-examples#799). Otherwise it "could not get a response"
        # (#2815) or "the model process exited".
        return (EndpointTimeout if "timed out" in text else EndpointUnavailable)(text)
    where = f"container status {status}, log {response.get('LogStreamArn', 'unknown')}"
    return _from_error_body(response.get("OriginalMessage") or "", where, status)


def _from_error_body(body: str | bytes, where: str, status: int | None) -> FrontDoorError:
    failure = EndpointUnavailable if status == 503 else EndpointError
    try:
        document = json.loads(body)
        said = _NO_WORKER.get(document.get("type"))
        if said is not None and said in document["message"]:
            return EndpointUnavailable(f"{where}: {document['type']}")
        refused = document["error"]
        kind, message, param = refused["type"], refused["message"], refused.get("param")
        field = _API_FIELDS.get(param, param)
    except (ValueError, KeyError, TypeError, AttributeError):
        # Its text stays out of our log: a stray traceback may quote the prompt.
        return failure(f"{where}: its body is not in the contract")
    if kind == "invalid_request":
        prefix = "" if field == param or field is None else f"{field}: "
        return InvalidRequest(Problem(f"{prefix}{message}", field, "out_of_range"))
    return failure(f"{where}: {kind}: {message}")


def _parse(payload: bytes, request: GenerationRequest) -> Generated:
    try:
        answer = json.loads(payload)
        if "error" in answer:
            # DJL gives all requests of a batch one status: 200, if another of them was answered.
            raise _from_error_body(payload, "container status 200", 200)
        images = tuple(base64.b64decode(image, validate=True) for image in answer["images"])
        seeds = tuple(answer["seeds"])
        timings = StageTimings(**{stage: _ms(answer["timings_ms"][stage]) for stage in _STAGES})
        images_in_batch = int(answer["engine"]["images_in_batch"])
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise EndpointError(
            f"answer not in the contract: {type(error).__name__}: {error}"
        ) from None
    if not all(image.startswith(_PNG_SIGNATURE) for image in images):
        raise EndpointError("answer not in the contract: an image is not a PNG")
    if len(images) != request.n or seeds != request.seeds:
        raise EndpointError(
            f"answer not in the contract: {len(images)} images of seeds {seeds}, "
            f"asked for {request.seeds}"
        )
    return Generated(images, timings, images_in_batch)


def _ms(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise TypeError(f"{value!r} is not a number of milliseconds")
    return float(value)
