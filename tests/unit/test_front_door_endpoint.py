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
    EndpointError,
    EndpointThrottled,
    EndpointTimeout,
    EndpointUnavailable,
    FrontDoorError,
    InvalidRequest,
)
from tests.unit.front_door_fakes import (
    PNG,
    REQUEST_ID,
    FakeRuntime,
    client_error,
    generation_request,
    model_error,
)


def failure(error: Exception) -> FrontDoorError:
    with pytest.raises(FrontDoorError) as caught:
        generate(FakeRuntime(fails=error), generation_request(), REQUEST_ID)
    return caught.value


def test_the_container_s_contract_is_kept() -> None:
    runtime = FakeRuntime()
    generated = generate(
        runtime, generation_request(seeds=(2**32 - 1, 0), negative_prompt="blurry"), REQUEST_ID
    )
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
    assert generated.images == (PNG + b"4294967295", PNG + b"0")
    assert generated.timings.denoise == 20.0


def test_no_negative_prompt_is_sent_where_none_was_given() -> None:
    runtime = FakeRuntime()
    generate(runtime, generation_request(negative_prompt=None), REQUEST_ID)
    generate(runtime, generation_request(negative_prompt=""), REQUEST_ID)
    assert ["negative_prompt" in call["Body"] for call in runtime.invocations] == [False, True]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("ThrottlingException"), EndpointThrottled),
        (client_error("TooManyRequestsException"), EndpointThrottled),
        (client_error("ValidationError", "Endpoint sd-g5 not found."), EndpointUnavailable),
        (client_error("ServiceUnavailable"), EndpointUnavailable),
        (client_error("ModelNotReadyException"), EndpointUnavailable),
        (client_error("InternalFailure"), EndpointError),
        (client_error("InternalDependencyException"), EndpointError),
        (client_error("AccessDeniedException"), EndpointError),
        (ReadTimeoutError(endpoint_url="https://x"), EndpointTimeout),
        (ConnectTimeoutError(endpoint_url="https://x"), EndpointUnavailable),
        (EndpointConnectionError(endpoint_url="https://x"), EndpointUnavailable),
        (ConnectionClosedError(endpoint_url="https://x"), EndpointUnavailable),
        (ResponseStreamingError(error="cut"), EndpointUnavailable),
        (NoCredentialsError(), EndpointError),
        (
            client_error(
                "ModelError",
                'server error (0) from primary with message "Your invocation timed out while …"',
                OriginalStatusCode=0,
                OriginalMessage="",
            ),
            EndpointTimeout,
        ),
    ],
)
def test_what_a_failed_call_becomes(error: Exception, expected: type[FrontDoorError]) -> None:
    runtime = FakeRuntime(fails=error)
    with pytest.raises(FrontDoorError) as caught:
        generate(runtime, generation_request(), REQUEST_ID)
    assert type(caught.value) is expected
    assert len(runtime.invocations) == 1


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(
    ("param", "field", "message"),
    [
        ("prompt", "prompt", "prompt: too long"),
        ("num_images", "n", "n: num_images: too long"),
        ("height", "size", "size: height: too long"),
        ("width", "size", "size: width: too long"),
        ("guidance_scale", "guidance_scale", "guidance_scale: too long"),
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
        {"error": [1]},
    ],
)
def test_an_error_outside_the_contract_is_ours_and_not_quoted(body: Any) -> None:
    error = failure(model_error(body))
    assert type(error) is EndpointError
    assert "not in the contract" in str(error)
    assert "fox" not in str(error)


def test_a_status_of_0_that_is_no_time_out() -> None:
    assert type(failure(model_error("", 0))) is EndpointError


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
        lambda answer: answer["timings_ms"].pop("png"),
        lambda answer: answer["timings_ms"].update(png="1"),
        lambda answer: answer["timings_ms"].update(png=True),
        lambda answer: answer["timings_ms"].update(png=float("nan")),
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
