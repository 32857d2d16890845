"""One invocation: what is sent, what is accepted back, and what each failure becomes."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from front_door.endpoint import generate
from front_door.errors import (
    BodyTooLarge,
    EndpointAtZero,
    EndpointDied,
    EndpointError,
    EndpointNotFound,
    EndpointOverloaded,
    EndpointThrottled,
    EndpointTimeout,
    EndpointUnavailable,
    FrontDoorError,
    InvalidRequest,
)
from front_door.generation import GenerationRequest
from sd_contract.invocation import STAGES, Edit
from tests.fakes.front_door import (
    PNG,
    REQUEST_ID,
    FakeRuntime,
    client_error,
    djl_error,
    generation_request,
    model_error,
    no_answer,
    no_endpoint,
)

# aws-samples/host-yolov8-on-sagemaker-endpoint#21
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the "
    "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)
# aws/amazon-sagemaker-examples#2815
NO_RESPONSE = "Amazon SageMaker could not get a response from the sd-g5 endpoint."
# Of endpoints that failed to be made; and of inference components scaled to zero.
EXITED = "An error occurred while handling request as the model process exited."
NO_CAPACITY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in "
    "progress (if configured) or try to increase the capacity by invoking "
    "UpdateInferenceComponentRuntimeConfig API."
)


def failure(error: Exception) -> FrontDoorError:
    runtime = FakeRuntime(fails=error)
    with pytest.raises(FrontDoorError) as caught:
        generate(runtime, generation_request(), REQUEST_ID)
    assert len(runtime.invocations) == 1
    return caught.value


def test_the_container_s_contract_is_kept() -> None:
    runtime = FakeRuntime()
    asked = generation_request(num_images=2, seed=2**32 - 1, negative_prompt="blurry")
    answer = generate(runtime, asked, REQUEST_ID)
    assert runtime.invocations == [
        {
            "EndpointName": "sd-g5",
            "ContentType": "application/json",
            "Accept": "application/json",
            "CustomAttributes": f"request_id={REQUEST_ID}",
            "Body": {
                "prompt": "a red fox",
                "negative_prompt": "blurry",
                "num_images": 2,
                "height": 512,
                "width": 512,
                "num_inference_steps": 25,
                "guidance_scale": 7.5,
                "seed": 2**32 - 1,
            },
        }
    ]
    assert answer.images == (PNG + b"4294967295", PNG + b"0")
    assert answer.timings_ms["denoise"] == 20.0
    assert answer.images_in_batch == 2


def test_a_container_of_before_edits_and_formats_is_still_understood() -> None:
    """Its endpoint is updated after the front door; what it is sent has no newer field (above)."""

    def as_before(answer: dict[str, Any]) -> None:
        del answer["output_format"], answer["warnings"], answer["engine"]["negative_prompt_tokens"]
        answer["timings_ms"] = {"text_encoder": 1.0, "denoise": 9.0, "vae_decode": 2.0, "png": 1.0}

    answer = generate(FakeRuntime(change=as_before), generation_request(), REQUEST_ID)
    assert (answer.output_format, answer.warnings, answer.prompt_tokens) == ("png", (), 5)
    assert answer.timings_ms == dict(zip(STAGES, (1.0, 0, 9.0, 2.0, 0), strict=True))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("ThrottlingException"), EndpointThrottled),
        (client_error("TooManyRequestsException"), EndpointThrottled),
        (no_endpoint(), EndpointNotFound),
        (client_error("ValidationError", NO_CAPACITY), EndpointAtZero),
        (client_error("ValidationError", "of another kind"), EndpointUnavailable),
        (client_error("ServiceUnavailable"), EndpointUnavailable),
        (client_error("ModelNotReadyException"), EndpointUnavailable),
        (client_error("InternalFailure"), EndpointError),
        (client_error("InternalDependencyException"), EndpointError),
        (client_error("AccessDeniedException"), EndpointError),
        (ReadTimeoutError(endpoint_url="https://x"), EndpointTimeout),
        (ConnectTimeoutError(endpoint_url="https://x"), EndpointUnavailable),
        (EndpointConnectionError(endpoint_url="https://x"), EndpointUnavailable),
        (ConnectionClosedError(endpoint_url="https://x"), EndpointDied),
        (ResponseStreamingError(error="cut"), EndpointDied),
        (NoCredentialsError(), EndpointError),
        (no_answer(TIMED_OUT), EndpointTimeout),
        (no_answer(NO_RESPONSE), EndpointDied),
        (no_answer(EXITED), EndpointDied),
        (no_answer(""), EndpointDied),
    ],
)
def test_what_a_failed_call_becomes(error: Exception, expected: type[FrontDoorError]) -> None:
    assert type(failure(error)) is expected


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(
    ("param", "field", "message"),
    [
        ("prompt", "prompt", "prompt: too long"),
        ("num_images", "n", "n: num_images: too long"),
        ("width", "size", "size: width: too long"),
        (None, None, "None: too long"),
    ],
)
def test_a_refusal_by_the_container_is_the_caller_s_whatever_its_status(
    status: int, param: str | None, field: str | None, message: str
) -> None:
    body = {"error": {"type": "invalid_request", "param": param, "message": f"{param}: too long"}}
    error = failure(model_error(body, status))
    assert isinstance(error, InvalidRequest)
    assert (error.param, str(error)) == (field, message)


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("kind", ["engine_error", "something_new"])
def test_other_errors_of_the_container_are_ours_whatever_its_status(status: int, kind: str) -> None:
    error = failure(model_error({"error": {"type": kind, "message": "CUDA out of memory"}}, status))
    assert type(error) is EndpointError
    assert f"status {status}" in str(error)
    assert "log-group:/aws/sagemaker/Endpoints/sd-g5" in str(error)
    assert f"{kind}: CUDA out of memory" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "Unhealthy",
        "<html>a red fox</html>",
        "[]",
        {"code": 400, "type": "InternalServerException", "message": "a red fox"},
        {"error": "a red fox"},
        {"error": {"type": "invalid_request"}},
        {"error": {"type": "invalid_request", "message": "a red fox", "param": ["n"]}},
        {"error": {"type": "invalid_request", "message": "a red fox", "code": 400}},
        {"error": [1]},
    ],
)
def test_an_error_outside_the_contract_is_ours_and_not_quoted(body: Any) -> None:
    error = failure(model_error(body))
    assert type(error) is EndpointError
    assert "not in the contract" in str(error)
    assert "fox" not in str(error)


@pytest.mark.parametrize(
    "error",
    [
        # WorkLoadManager.java and WorkerThread.java of djl-serving v0.27.0.
        djl_error(503, "WlmShutdownException", "All model workers has been shutdown: model"),
        djl_error(503, "WlmException", "Worker shutting down"),
        djl_error(503, "WlmException", "Model is not ready: model"),
        djl_error(503, "ServiceUnavailableException", "Model or workflow is not ready: model"),
        # PyModel.java, seen with the real server after its Python process was killed.
        djl_error(500, "EngineException", "There are no devices left to create new workers"),
        djl_error(400, "TranslateException", "Backend Python process is stopped."),
    ],
)
def test_djl_without_a_worker_is_unavailable(error: Exception) -> None:
    assert type(failure(error)) is EndpointUnavailable


def test_djl_with_a_full_queue_is_overloaded() -> None:
    full = djl_error(503, "WlmCapacityException", "Worker queue capacity exceeded for model: model")
    assert type(failure(full)) is EndpointOverloaded


def test_pictures_that_sagemaker_does_not_carry_are_the_caller_s_to_mend() -> None:
    error = failure(model_error("Response payload size exceeded the limit", 413))
    assert isinstance(error, InvalidRequest)
    assert (error.param, error.code) == ("n", "response_too_large")
    assert "6291456 bytes" in str(error)


def test_a_request_that_sagemaker_does_not_carry_isn_t_sent() -> None:
    def sized(size: int) -> GenerationRequest:
        return generation_request(edit=Edit(bytes(size)))

    runtime = FakeRuntime()
    generate(runtime, sized(4_718_000), REQUEST_ID)
    with pytest.raises(BodyTooLarge, match=r"^image, mask: .*SageMaker carries 6291456") as caught:
        generate(runtime, sized(4_719_000), REQUEST_ID)
    assert (caught.value.param, caught.value.code) == ("image", "body_too_large")
    assert len(runtime.invocations) == 1


@pytest.mark.parametrize("body", ["", "Service Unavailable", "<html>a red fox</html>"])
def test_a_503_is_believed_without_a_body_and_not_quoted(body: str) -> None:
    error = failure(model_error(body, 503))
    assert type(error) is EndpointUnavailable
    assert "fox" not in str(error)


def test_a_refusal_stays_one_with_a_503() -> None:
    body = {"error": {"type": "invalid_request", "param": "seed", "message": "seed: too large"}}
    assert type(failure(model_error(body, 503))) is InvalidRequest


@pytest.mark.parametrize("status", [400, 424, 500, 502, 504, 507, None])
def test_no_other_status_is_believed(status: int | None) -> None:
    assert type(failure(model_error("Service Unavailable", status))) is EndpointError


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer.pop("images"),
        lambda answer: answer["images"].append(answer["images"][0]),
        lambda answer: answer["images"].clear(),
        lambda answer: answer.update(images=["!"]),
        lambda answer: answer.update(images=["R0lGODlh"]),
        lambda answer: answer.update(images=[1]),
        lambda answer: answer.update(images=None),
        lambda answer: answer.pop("seeds"),
        lambda answer: answer.update(seeds=[8]),
        lambda answer: answer.update(seeds=7),
        lambda answer: answer.pop("timings_ms"),
        lambda answer: answer["timings_ms"].update(encode="1"),
        lambda answer: answer["timings_ms"].update(encode=True),
        lambda answer: answer["timings_ms"].update(encode=float("nan")),
        lambda answer: answer["timings_ms"].update(denoise=-1),
        lambda answer: answer.update(output_format="gif"),
        lambda answer: answer.update(warnings=[1]),
        lambda answer: answer.pop("engine"),
        lambda answer: answer.update(engine=[]),
        lambda answer: answer["engine"].pop("images_in_batch"),
        lambda answer: answer["engine"].update(negative_prompt_tokens="some"),
        lambda answer: answer["engine"].update(images_in_batch=0),
        lambda answer: answer["engine"].update(images_in_batch="some"),
    ],
)
def test_an_answer_outside_the_contract_is_never_passed_on(
    change: Callable[[dict[str, Any]], object],
) -> None:
    with pytest.raises(EndpointError, match="not in the contract"):
        generate(FakeRuntime(change=change), generation_request(), REQUEST_ID)


def answered(error: dict[str, Any]) -> FakeRuntime:
    """An endpoint whose answer, with status 200, is this error."""

    def change(answer: dict[str, Any]) -> None:
        answer.clear()
        answer["error"] = error

    return FakeRuntime(change=change)


def test_an_error_that_a_batch_answers_with_200_is_what_its_body_says() -> None:
    refused = {"type": "invalid_request", "param": "num_images", "message": "num_images: 1 to 2"}
    with pytest.raises(InvalidRequest) as caught:
        generate(answered(refused), generation_request(), REQUEST_ID)
    assert caught.value.param == "n"

    failed = {"type": "engine_error", "message": "out of memory"}
    with pytest.raises(EndpointError, match="engine_error: out of memory"):
        generate(answered(failed), generation_request(), REQUEST_ID)
