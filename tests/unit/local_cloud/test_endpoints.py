"""SageMaker's endpoints and their invocations, as the local cloud has them."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from local_cloud.docker.store import OCI_INDEX_TYPE, OCI_MANIFEST_TYPE
from sd_contract.limits import INVOCATION_BYTES
from tests.fakes.local_account import allow, arn, client_of_user, let_user, log_lines, wait_for
from tests.fakes.toy_endpoint import IMAGE, PRODUCTION_VARIANT, ToyEndpoint, model_data, push_toy


def refused(endpoint: ToyEndpoint, **order: Any) -> Any:
    """The error's document."""
    with pytest.raises(ClientError) as caught:
        endpoint.invoke(**order)
    return caught.value.response


def test_serves_the_model_data_with_the_models_environment_and_no_credentials(
    healthy: ToyEndpoint,
) -> None:
    facts = healthy.invoke()
    assert (facts["weights"], facts["toy"], facts["has_keys"]) == ("first", "yes", False)


@pytest.mark.parametrize(("status", "side"), [(400, "client"), (500, "server")])
def test_a_containers_error_becomes_a_model_error_with_its_status_and_message(
    healthy: ToyEndpoint, status: int, side: str
) -> None:
    error = refused(healthy, status=status)

    assert error["Error"]["Code"] == "ModelError"
    assert error["OriginalStatusCode"] == status
    assert error["OriginalMessage"] == '{"error": "as asked"}'
    assert error["LogStreamArn"].endswith("log-group:/aws/sagemaker/Endpoints/healthy")
    assert f"Received {side} error ({status}) from primary" in error["Error"]["Message"]


def test_an_invocation_past_the_limit_is_a_model_error_with_status_zero(
    healthy: ToyEndpoint,
) -> None:
    error = refused(healthy, sleep=600)
    assert (error["Error"]["Code"], error["OriginalStatusCode"]) == ("ModelError", 0)
    assert "timed out" in error["OriginalMessage"]


def test_bodies_above_the_limit_are_refused_both_ways(healthy: ToyEndpoint) -> None:
    error = refused(healthy, filler="x" * INVOCATION_BYTES)["Error"]
    assert error["Code"] == "ValidationError"
    assert str(INVOCATION_BYTES) in error["Message"]
    assert refused(healthy, size=INVOCATION_BYTES)["OriginalStatusCode"] == 413


def test_invocations_are_measured_in_microseconds_by_endpoint_and_variant(
    healthy: ToyEndpoint,
) -> None:
    healthy.invoke(sleep=0.2)

    dimensions = {"EndpointName": "healthy", "VariantName": "AllTraffic"}
    points = healthy.cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="ModelLatency",
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=time.time() - 600,
        EndTime=time.time() + 60,
        Period=3600,
        Statistics=["Maximum"],
    )["Datapoints"]
    # An hour may have ended meanwhile.
    assert max(point["Maximum"] for point in points) >= 200_000
    assert {point["Unit"] for point in points} == {"Microseconds"}


def test_what_the_local_cloud_does_not_do_is_refused(healthy: ToyEndpoint) -> None:
    def refusal(*names: str, **more: Any) -> str:
        mains = [{**PRODUCTION_VARIANT, "ModelName": "healthy", "VariantName": n} for n in names]
        with pytest.raises(ClientError) as caught:
            healthy.sagemaker.create_endpoint_config(
                EndpointConfigName="refused", ProductionVariants=mains, **more
            )
        return str(caught.value)

    vpc = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    assert "has no VpcConfig" in refusal("A", VpcConfig=vpc)
    assert "one production variant" in refusal("A", "B")
    with pytest.raises(ClientError, match="has no SageMaker ListModels"):
        healthy.sagemaker.list_models()


def test_an_unknown_endpoint_is_a_validation_error(cloud: ChildCloud) -> None:
    error = refused(ToyEndpoint(cloud, "nobody"))["Error"]
    assert error["Code"] == "ValidationError"
    assert "Endpoint nobody of account 000000000000 not found" in error["Message"]


def test_a_model_that_cannot_load_is_told_in_aws_s_words_and_its_reason_as_an_addition(
    cloud: ChildCloud,
) -> None:
    described = ToyEndpoint(cloud, "broken").create(Environment={"TOY": "broken"})

    assert described["EndpointStatus"] == "Failed"
    aws, ours = described["FailureReason"].split(" [Here AWS ends. The local cloud adds: ")
    assert aws == (
        "The primary container for production variant AllTraffic did not pass the ping health "
        "check. Please check CloudWatch logs for this endpoint."
    )
    assert ours.startswith("FATAL: weights.txt is not a model (given up after 2 starts; AWS goes ")
    said = log_lines(cloud, "/aws/sagemaker/Endpoints/broken")
    assert said.count("FATAL: weights.txt is not a model") == 2
    assert "Container restarted: the process exited" in said


def test_a_crashed_container_is_started_again(cloud: ChildCloud) -> None:
    endpoint = ToyEndpoint(cloud, "crash")
    endpoint.create()
    before = endpoint.invoke()["pid"]

    assert refused(endpoint, crash=True)["OriginalStatusCode"] == 0

    assert endpoint.status() == "InService"
    assert wait_for(lambda: endpoint.invoke()["pid"]) != before


def test_model_data_outside_the_roles_policy_is_refused(cloud: ChildCloud) -> None:
    described = ToyEndpoint(cloud, "foreign").create(ModelDataSource=model_data("other/"))

    assert described["EndpointStatus"] == "Failed"
    assert "not authorized to perform: s3:GetObject" in described["FailureReason"]


def test_a_caller_needs_permission_for_the_very_endpoint(healthy: ToyEndpoint) -> None:
    def invokes(endpoint: str) -> dict[str, Any]:
        return allow("sagemaker:InvokeEndpoint", arn("sagemaker", f"endpoint/{endpoint}"))

    runtime = client_of_user(healthy.cloud, "caller", "sagemaker-runtime", invokes("another"))
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint(EndpointName="healthy", Body=b"{}")
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"

    let_user(healthy.cloud, "caller", invokes("healthy"))
    assert json.loads(runtime.invoke_endpoint(EndpointName="healthy", Body=b"{}")["Body"].read())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"InstanceType": "ml.g5.tiny"}, "Member must satisfy enum value set"),
        ({"ContainerStartupHealthCheckTimeoutInSeconds": 3601}, "less than or equal to 3600"),
        ({"ModelName": "nothing-of-the-sort"}, "Could not find model"),
        ({"VariantName": "under_score"}, "regular expression pattern"),
    ],
)
def test_a_wrong_endpoint_configuration_is_refused_as_on_aws(
    healthy: ToyEndpoint, change: dict[str, Any], message: str
) -> None:
    main = {**PRODUCTION_VARIANT, "ModelName": "healthy", **change}
    with pytest.raises(ClientError, match=message) as caught:
        healthy.sagemaker.create_endpoint_config(
            EndpointConfigName="wrong", ProductionVariants=[main]
        )
    assert caught.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"Image": IMAGE + "0"}, "Requested image .* not found"),
        ({"Image": "docker.io/library/python:3"}, "non-ECR image"),
        ({"ModelDataSource": model_data("nothing/")}, "Could not find model data at"),
        ({"ModelDataSource": model_data("toy")}, "must end with a forward slash"),
    ],
)
def test_a_model_needs_an_image_and_data_that_are_there(
    cloud: ChildCloud, container: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        ToyEndpoint(cloud, "without").model(**container)


@pytest.mark.parametrize("media_type", [OCI_MANIFEST_TYPE, OCI_INDEX_TYPE])
def test_an_oci_manifest_is_refused_in_aws_s_words(cloud: ChildCloud, media_type: str) -> None:
    tag = media_type.split(".")[3]
    push_toy(cloud, tag, media_type)
    image = IMAGE.replace(":1", f":{tag}")
    said = re.escape(f"Unsupported manifest media type {media_type} for image {image}. Ensure that")
    with pytest.raises(ClientError, match=said):
        ToyEndpoint(cloud, f"oci-{tag}").model(Image=image)
