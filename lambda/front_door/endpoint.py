"""One SageMaker invocation: the container's contract turned into our types and errors.

An error of the container is judged by the error type in its body, not by its HTTP status: the
Hugging Face toolkit turns every exception of a handler into a 400. Two statuses are believed:

- 0 is SageMaker's own: the container gave no answer. It died, or took too long.
- 503 is what a server says of itself: our NotReady, DJL Serving with a full queue or without a
  worker. No toolkit makes it of a handler's exception, and SageMaker may leave out the body ("could
  not load the entire response body", aws/amazon-sagemaker-examples#4324).
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)

from front_door.errors import (
    BodyTooLarge,
    EndpointAtZero,
    EndpointDied,
    EndpointError,
    EndpointNotFound,
    EndpointOverloaded,
    EndpointThrottled,
    EndpointTimeout,
    EndpointTooOld,
    EndpointUnavailable,
    FrontDoorError,
    InvalidRequest,
)
from front_door.generation import GenerationRequest
from sd_contract.embeddings import Embeddings, embeddings_invocation, is_too_old
from sd_contract.fields import PUBLIC_NAMES, Problem
from sd_contract.invocation import INVALID_REQUEST, JSON, Answer, ContainerError, Invocation
from sd_contract.limits import INVOCATION_BYTES
from sd_contract.registration import Registration

_SIGNATURES = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff", "webp": b"RIFF"}

# ValidationError is also what SageMaker says of an endpoint without capacity; our body can't be
# what it means, as its size and shape are checked before.
_BY_CODE: Mapping[str, type[FrontDoorError]] = {
    "Throttling": EndpointThrottled,
    "ThrottlingException": EndpointThrottled,
    "TooManyRequestsException": EndpointThrottled,
    "RequestLimitExceeded": EndpointThrottled,
    "ValidationError": EndpointUnavailable,
    "ValidationException": EndpointUnavailable,
    "ServiceUnavailable": EndpointUnavailable,
    "ServiceUnavailableException": EndpointUnavailable,
    "ModelNotReadyException": EndpointUnavailable,
}
# aws/amazon-sagemaker-examples#559: of an endpoint that was deleted.
_NOT_FOUND = re.compile(r"ValidationError: Endpoint \S+ of account \S+ not found")
# "Inference Component has no capacity to process this request": scaled to zero.
_AT_ZERO = re.compile(r"Validation\w+: .*has no capacity to process this request")
# DJL Serving v0.27.0's full queue (WorkLoadManager.java).
_QUEUE_FULL = "WlmCapacityException"
# DJL Serving v0.27.0 without its Python process: no worker can be started any more (status 500,
# PyModel.java), or the process has died between two requests (status 400, PyProcess.java, seen with
# the real server). What a handler raises never comes under these.
_NO_WORKER = {
    "EngineException": "",
    "TranslateException": "Backend Python process is stopped.",
}

T = TypeVar("T")


class SageMakerRuntime(Protocol):
    """The part of boto3's sagemaker-runtime client that is used.

    Its read timeout has to end before the gateway's, and it must not retry: the container would
    draw the same images twice, and the second answer would come too late.
    """

    def invoke_endpoint(self, **kwargs: Any) -> Mapping[str, Any]: ...


def generate(runtime: SageMakerRuntime, request: GenerationRequest, request_id: str) -> Answer:
    """`request_id` goes along for the container's log.

    Raises InvalidRequest where the container refuses a field, BodyTooLarge, EndpointThrottled,
    EndpointUnavailable and its kinds, EndpointTimeout, and EndpointError for all else.
    """
    body = request.invocation.to_json()
    if len(body) > INVOCATION_BYTES:
        raise BodyTooLarge(
            Problem(
                "image",
                f"image, mask: the request takes {len(body)} bytes as the model gets it, with the "
                f"pictures in base64, and SageMaker carries {INVOCATION_BYTES}: send smaller ones",
                "body_too_large",
            )
        )
    return _read(_invoke(runtime, request.variant, body, request_id), request.invocation)


def embed(
    runtime: SageMakerRuntime, variant: Registration, texts: Sequence[str], request_id: str
) -> Embeddings:
    """As `generate`; EndpointTooOld where the container is older than embeddings."""
    payload = _invoke(runtime, variant, embeddings_invocation(texts), request_id)
    answer = _parsed(Embeddings.from_json, payload)
    if len(answer.vectors) != len(texts):
        counted = f"{len(answer.vectors)} vectors of {len(texts)} texts"
        raise EndpointError(f"answer not in the contract: {counted}")
    return answer


def _invoke(
    runtime: SageMakerRuntime, variant: Registration, body: bytes, request_id: str
) -> bytes:
    try:
        response = runtime.invoke_endpoint(
            EndpointName=variant.endpoint_name,
            ContentType=JSON,
            Accept=JSON,
            CustomAttributes=f"request_id={request_id}",
            Body=body,
        )
        payload: bytes = response["Body"].read()
    except ReadTimeoutError as error:
        raise EndpointTimeout(str(error)) from error
    except ConnectionError as error:  # there was none
        raise EndpointUnavailable(str(error)) from error
    except HTTPClientError as error:
        raise EndpointDied(str(error)) from error
    except ClientError as error:
        raise _from_client_error(error.response) from error
    except BotoCoreError as error:
        raise EndpointError(str(error)) from error
    return payload


def _from_client_error(response: Mapping[str, Any]) -> FrontDoorError:
    error = response.get("Error", {})
    code = error.get("Code", "")
    text = f"{code}: {error.get('Message', '')}"
    if _NOT_FOUND.match(text):
        return EndpointNotFound(text)
    if _AT_ZERO.match(text):
        return EndpointAtZero(text)
    if code != "ModelError":
        return _BY_CODE.get(code, EndpointError)(text)

    status = response.get("OriginalStatusCode")
    if status == 0:
        # "Your invocation timed out while waiting for a response from container primary": its 60 s
        # are over (aws/amazon-sagemaker-examples#799). Otherwise it "could not get a response"
        # (#2815) or "the model process exited".
        return (EndpointTimeout if "timed out" in text else EndpointDied)(text)
    if status == 413:
        # SageMaker's own, of what the container answered. No handler gives this status.
        message = (
            f"n: the pictures take more than the {INVOCATION_BYTES} bytes that SageMaker carries: "
            "ask for fewer, for a smaller size, or for output_format jpeg or webp"
        )
        return InvalidRequest(Problem("n", message, "response_too_large"))
    where = f"container status {status}, log {response.get('LogStreamArn', 'unknown')}"
    return _from_error_body(response.get("OriginalMessage") or "", where, status)


def _from_error_body(body: str | bytes, where: str, status: int | None) -> FrontDoorError:
    failure = EndpointUnavailable if status == 503 else EndpointError
    try:
        return _from_container_error(ContainerError.from_json(body), where, failure)
    except ValueError:
        kind, message = _djl_error(body)
        if kind == _QUEUE_FULL:
            return EndpointOverloaded(f"{where}: {kind}")
        if kind in _NO_WORKER and _NO_WORKER[kind] in message:
            return EndpointUnavailable(f"{where}: {kind}")
        # Its text stays out of our log: a stray traceback may quote the prompt.
        return failure(f"{where}: its body is not in the contract")


def _djl_error(body: str | bytes) -> tuple[str, str]:
    """Type and message of an error of DJL's own; empty where it is none."""
    try:
        document = json.loads(body)
        return str(document["type"]), str(document["message"])
    except (ValueError, KeyError, TypeError):
        return "", ""


def _from_container_error(
    error: ContainerError, where: str, failure: type[FrontDoorError]
) -> FrontDoorError:
    if is_too_old(error):
        return EndpointTooOld(where)
    if error.kind != INVALID_REQUEST:
        return failure(f"{where}: {error.kind}: {error}")
    field = error.field and PUBLIC_NAMES.get(error.field, error.field)
    prefix = "" if field == error.field else f"{field}: "
    return InvalidRequest(Problem(field, f"{prefix}{error}", error.code or "out_of_range"))


def _parsed(from_json: Callable[[bytes], T], payload: bytes) -> T:
    try:
        return from_json(payload)
    except ContainerError as error:
        # DJL gives all requests of a batch one status: 200, if another of them was answered.
        raise _from_container_error(error, "container status 200", EndpointError) from None
    except ValueError as error:
        raise EndpointError(f"answer not in the contract: {error}") from None


def _read(payload: bytes, asked: Invocation) -> Answer:
    answer = _parsed(Answer.from_json, payload)
    signature, kind = _SIGNATURES[asked.output_format], asked.output_format.upper()
    if not all(image.startswith(signature) for image in answer.images):
        raise EndpointError(f"answer not in the contract: an image is not a {kind}")
    if len(answer.images) != asked.num_images or answer.seeds != asked.seeds:
        raise EndpointError(
            f"answer not in the contract: {len(answer.images)} images of seeds {answer.seeds}, "
            f"asked for {asked.seeds}"
        )
    return answer
