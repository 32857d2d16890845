"""SageMaker's asynchronous inference, as the local cloud has it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from tests.fakes.asynchronous_toy import AsyncToy
from tests.fakes.local_account import allow, arn, client_of_user, fault, log_lines, wait_for
from tests.fakes.toy_endpoint import ToyEndpoint


def test_a_request_from_s3_comes_back_in_s3_and_is_told_in_aws_s_form(toy: AsyncToy) -> None:
    answer = toy.send("one", {}, InferenceId="batch-1.000001", Accept="image/png")

    told = toy.told()
    location = answer["OutputLocation"]
    assert answer["InferenceId"] == "batch-1.000001"
    assert location.startswith("s3://async/out/")
    assert location.endswith(".out")
    assert answer["FailureLocation"].startswith("s3://async/failed/")
    times = {told.pop(name) for name in ("eventTime", "receivedTime")}
    assert all(time.endswith("Z") for time in times)
    assert told == {
        "awsRegion": "us-east-1",
        "invocationStatus": "Completed",
        "requestParameters": {
            "accept": "image/png",
            "endpointName": "async-toy",
            "inputLocation": "s3://async/in/one",
        },
        "responseParameters": {"contentType": "application/json", "outputLocation": location},
        "inferenceId": "batch-1.000001",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    assert json.loads(toy.read(location))["accept"] == "image/png"


def test_what_the_container_says_of_a_failure_lies_at_the_failure_s_location(toy: AsyncToy) -> None:
    answer = toy.send("bad", {"status": 500})

    told = toy.told()
    assert told["invocationStatus"] == "Failed"
    assert told["failureReason"].startswith("ClientError: Received server error (500) from model.")
    assert told["responseParameters"]["failureLocation"] == answer["FailureLocation"]
    assert toy.read(answer["FailureLocation"]) == b'{"error": "as asked"}'


@pytest.mark.parametrize(
    ("request_", "more", "reason"),
    [
        (None, {}, "Failed to download s3://async/in/"),
        ({"sleep": 30}, {"InvocationTimeoutSeconds": 1}, "timed out while waiting"),
        ({"chunked": True}, {}, "did not specify the required Content-Length header"),
        ({"crash": True}, {}, "could not get a response from the async-toy endpoint"),
    ],
)
def test_whatever_fails_is_told(
    toy: AsyncToy, request_: dict[str, Any] | None, more: dict[str, Any], reason: str
) -> None:
    wait_for(lambda: toy.instances() == (1, 1))
    toy.send(f"fails-{len(reason)}", request_, InferenceId="failing", **more)

    told = toy.told()
    assert (told["invocationStatus"], told["inferenceId"]) == ("Failed", "failing")
    assert reason in told["failureReason"]
    said = log_lines(toy.cloud, "/aws/sagemaker/Endpoints/async-toy", "AllTraffic/data-log")
    assert any("[failing]" in line and reason in line for line in said)


def test_a_notification_may_come_twice(toy: AsyncToy) -> None:
    with fault(toy.cloud, "notified-twice"):
        toy.send("twice", {}, InferenceId="twice")
        assert [toy.told()["inferenceId"] for _ in range(2)] == ["twice", "twice"]


def test_it_takes_longer_than_a_real_time_invocation_may(toy: AsyncToy) -> None:
    toy.send("long", {"sleep": 3})
    assert toy.told()["invocationStatus"] == "Completed"


def test_a_small_request_may_come_inline(toy: AsyncToy) -> None:
    answer = toy.runtime.invoke_endpoint_async(
        EndpointName="async-toy", Body=b"{}", S3OutputPathExtension="mine", Filename="a.json"
    )
    assert toy.told()["responseParameters"]["outputLocation"] == answer["OutputLocation"]
    assert answer["OutputLocation"] == "s3://async/out/mine/a.json"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"InferenceId": "x" * 65}, "length less than or equal to 64"),
        ({"RequestTTLSeconds": 21_601}, "value less than or equal to 21600"),
        ({"InvocationTimeoutSeconds": 3601}, "value less than or equal to 3600"),
        ({"Body": b"{}"}, "mutually exclusive"),
        ({"InputLocation": "ftp://async/in"}, "regular expression pattern"),
    ],
)
def test_a_wrong_request_is_refused(toy: AsyncToy, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message) as caught:
        toy.runtime.invoke_endpoint_async(
            EndpointName="async-toy", **{"InputLocation": "s3://async/in/one", **more}
        )
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_each_kind_of_endpoint_takes_its_own_invocations_alone(
    toy: AsyncToy, healthy: ToyEndpoint
) -> None:
    with pytest.raises(ClientError, match="can only receive asynchronous invocations"):
        toy.invoke()
    with pytest.raises(ClientError, match="has no AsyncInferenceConfig"):
        healthy.runtime.invoke_endpoint_async(
            EndpointName="healthy", InputLocation="s3://async/in/one"
        )


def test_a_caller_needs_the_permission_for_asynchronous_invocations(toy: AsyncToy) -> None:
    synchronous = allow("sagemaker:InvokeEndpoint", arn("sagemaker", "endpoint/async-toy"))
    runtime = client_of_user(toy.cloud, "sync-only", "sagemaker-runtime", synchronous)
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint_async(EndpointName="async-toy", InputLocation="s3://async/in/one")
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert "sagemaker:InvokeEndpointAsync" in str(caught.value)


def test_the_execution_role_reads_writes_and_publishes(toy: AsyncToy) -> None:
    """And without its permission nobody is told; the platform's log says it."""
    poor = AsyncToy(toy.cloud, "async-poor")
    poor.create_async(role="endpoint")
    poor.send("poor", {}, InferenceId="poor")

    def said() -> str:
        group = "/aws/sagemaker/Endpoints/async-poor"
        return "\n".join(log_lines(toy.cloud, group, "AllTraffic/data-log"))

    wait_for(lambda: "Failed to publish" in said())
    assert "Failed to download s3://async/in/poor" in said()
    assert "Messages" not in poor.sqs.receive_message(QueueUrl=poor.queue)
    poor.delete()


def test_at_zero_instances_requests_wait_for_one(toy: AsyncToy) -> None:
    cloud = toy.cloud
    endpoint = AsyncToy(cloud, "async-zero")
    endpoint.create_async(MaxConcurrentInvocationsPerInstance=1)
    endpoint.scale(0)
    assert endpoint.instances() == (0, 0)

    endpoint.send("zero", {})
    wait_for(lambda: newest(cloud, "HasBacklogWithoutCapacity", EndpointName="async-zero") == 1)
    assert newest(cloud, "ApproximateBacklogSizePerInstance", EndpointName="async-zero") == 1
    both = {"EndpointName": "async-zero", "VariantName": "AllTraffic"}
    assert newest(cloud, "HasBacklogWithoutCapacity", **both) is None

    endpoint.scale(1)
    assert endpoint.told()["invocationStatus"] == "Completed"
    wait_for(lambda: newest(cloud, "ApproximateBacklogSize", EndpointName="async-zero") == 0)
    assert newest(cloud, "HasBacklogWithoutCapacity", EndpointName="async-zero") == 0
    endpoint.delete()


def newest(cloud: ChildCloud, metric: str, **dimensions: str) -> float | None:
    """A metric's newest value; None where there is no such series."""
    found = cloud.client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            {
                "Id": "m",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/SageMaker",
                        "MetricName": metric,
                        "Dimensions": [{"Name": k, "Value": v} for k, v in dimensions.items()],
                    },
                    "Period": 1,
                    "Stat": "Maximum",
                },
            }
        ],
        StartTime="2020-01-01T00:00:00Z",
        EndTime="2100-01-01T00:00:00Z",
    )["MetricDataResults"][0]
    return max(zip(found["Timestamps"], found["Values"], strict=True), default=(None, None))[1]
