"""SageMaker as the local cloud has it, through boto3 against a running cloud."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from local_cloud.image_store import OCI_INDEX_TYPE, OCI_MANIFEST_TYPE, manifest_of
from tests.local_fakes import IMAGE, VARIANT, make_toy, wait_for


@pytest.fixture(scope="module")
def cloud() -> Iterator[ChildCloud]:
    with ChildCloud(invoke_timeout_s=1.0) as running:
        make_toy(running)
        yield running


class Deployment:
    """A model, its configuration and endpoint, all under one name."""

    def __init__(self, cloud: ChildCloud, name: str) -> None:
        self.cloud, self.name = cloud, name
        self.sagemaker, self.runtime = cloud.client("sagemaker"), cloud.client("sagemaker-runtime")

    def model(self, suffix: str = "", **container: Any) -> str:
        name = self.name + suffix
        source = {
            "S3Uri": "s3://models/toy/",
            "S3DataType": "S3Prefix",
            "CompressionType": "None",
        }
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn="arn:aws:iam::000000000000:role/endpoint",
            PrimaryContainer={
                "Image": IMAGE,
                "ModelDataSource": {"S3DataSource": source},
                **container,
            },
        )
        variant = {**VARIANT, "ModelName": name}
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        return name

    def create(self, **container: Any) -> dict[str, Any]:
        config = self.model(**container)
        self.sagemaker.create_endpoint(EndpointName=self.name, EndpointConfigName=config)
        return self.settled()

    def settled(self) -> dict[str, Any]:
        while True:
            described: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=self.name)
            if described["EndpointStatus"] not in ("Creating", "Updating"):
                return described
            time.sleep(0.05)

    def invoke(self, **request: Any) -> Any:
        body = json.dumps(request).encode()
        answer = self.runtime.invoke_endpoint(EndpointName=self.name, Body=body)
        return json.loads(answer["Body"].read())

    def delete(self) -> None:
        self.sagemaker.delete_endpoint(EndpointName=self.name)


@pytest.fixture(scope="module")
def healthy(cloud: ChildCloud) -> Deployment:
    deployment = Deployment(cloud, "healthy")
    assert deployment.create(Environment={"TOY": "yes"})["EndpointStatus"] == "InService"
    return deployment


def test_serves_the_model_data_with_the_models_environment_and_no_credentials(
    healthy: Deployment,
) -> None:
    facts = healthy.invoke()

    assert facts["weights"] == "first"
    assert facts["toy"] == "yes"
    assert facts["has_keys"] is False


@pytest.mark.parametrize(("status", "side"), [(400, "client"), (500, "server")])
def test_a_containers_error_becomes_a_model_error_with_its_status_and_message(
    healthy: Deployment, status: int, side: str
) -> None:
    with pytest.raises(ClientError) as caught:
        healthy.invoke(status=status)

    error = caught.value.response
    assert error["Error"]["Code"] == "ModelError"
    assert error["OriginalStatusCode"] == status
    assert error["OriginalMessage"] == '{"error": "as asked"}'
    assert error["LogStreamArn"].endswith("log-group:/aws/sagemaker/Endpoints/healthy")
    assert f"Received {side} error ({status}) from primary" in error["Error"]["Message"]


def test_an_invocation_past_the_limit_is_a_model_error_with_status_zero(
    healthy: Deployment,
) -> None:
    with pytest.raises(ClientError) as caught:
        healthy.invoke(sleep=3)

    assert caught.value.response["Error"]["Code"] == "ModelError"
    assert caught.value.response["OriginalStatusCode"] == 0
    assert "timed out" in caught.value.response["OriginalMessage"]


def test_a_body_above_six_megabytes_is_refused(healthy: Deployment) -> None:
    with pytest.raises(ClientError) as caught:
        healthy.runtime.invoke_endpoint(EndpointName="healthy", Body=b"x" * 6_291_457)

    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert "6291456" in caught.value.response["Error"]["Message"]


def test_an_answer_above_six_megabytes_is_refused(healthy: Deployment) -> None:
    with pytest.raises(ClientError) as caught:
        healthy.invoke(size=6_291_456)

    assert caught.value.response["OriginalStatusCode"] == 413


def test_invocations_are_measured_in_microseconds_by_endpoint_and_variant(
    healthy: Deployment,
) -> None:
    healthy.invoke(sleep=0.2)

    metrics = healthy.cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="ModelLatency",
        Dimensions=[
            {"Name": "EndpointName", "Value": "healthy"},
            {"Name": "VariantName", "Value": "AllTraffic"},
        ],
        StartTime=time.time() - 600,
        EndTime=time.time() + 60,
        Period=3600,
        Statistics=["Maximum"],
    )
    assert metrics["Datapoints"][0]["Maximum"] >= 200_000
    assert metrics["Datapoints"][0]["Unit"] == "Microseconds"


def test_the_log_is_in_cloudwatch(healthy: Deployment) -> None:
    healthy.invoke()
    logs = healthy.cloud.client("logs")

    events = logs.filter_log_events(logGroupName="/aws/sagemaker/Endpoints/healthy")["events"]

    assert any("POST /invocations" in event["message"] for event in events)


def test_an_unknown_endpoint_is_a_validation_error(healthy: Deployment) -> None:
    with pytest.raises(ClientError) as caught:
        healthy.runtime.invoke_endpoint(EndpointName="nobody", Body=b"{}")

    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert "Endpoint nobody of account 000000000000 not found" in str(caught.value)


def test_a_model_that_cannot_load_fails_the_endpoint_with_its_reason(cloud: ChildCloud) -> None:
    described = Deployment(cloud, "broken").create(Environment={"TOY": "broken"})

    assert described["EndpointStatus"] == "Failed"
    assert described["FailureReason"].endswith("FATAL: weights.txt is not a model")


def test_a_crashed_container_is_started_again(cloud: ChildCloud) -> None:
    deployment = Deployment(cloud, "crash")
    deployment.create()
    before = deployment.invoke()["pid"]

    with pytest.raises(ClientError) as caught:
        deployment.invoke(crash=True)
    assert caught.value.response["OriginalStatusCode"] == 0

    assert deployment.settled()["EndpointStatus"] == "InService"
    assert wait_for(lambda: deployment.invoke()["pid"]) != before


def test_an_update_swaps_only_when_the_new_container_is_healthy(cloud: ChildCloud) -> None:
    deployment = Deployment(cloud, "update")
    deployment.create(Environment={"TOY": "old"})
    bad = deployment.model("-bad", Environment={"TOY": "broken"})
    good = deployment.model("-good", Environment={"TOY": "new"})

    deployment.sagemaker.update_endpoint(EndpointName="update", EndpointConfigName=bad)
    described = deployment.settled()
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == "update"
    assert "not a model" in described["FailureReason"]
    assert deployment.invoke()["toy"] == "old"

    deployment.sagemaker.update_endpoint(EndpointName="update", EndpointConfigName=good)
    assert deployment.settled()["EndpointConfigName"] == "update-good"
    assert deployment.invoke()["toy"] == "new"


def test_a_deleted_endpoint_leaves_no_process(cloud: ChildCloud) -> None:
    import psutil

    deployment = Deployment(cloud, "deleted")
    deployment.create()
    pid = deployment.invoke()["pid"]

    deployment.delete()

    assert wait_for(lambda: not psutil.pid_exists(pid))


def test_model_data_outside_the_roles_policy_is_refused(cloud: ChildCloud) -> None:
    deployment = Deployment(cloud, "foreign")
    source = {
        "S3Uri": "s3://models/other/",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
    }

    described = deployment.create(ModelDataSource={"S3DataSource": source})

    assert described["EndpointStatus"] == "Failed"
    assert "not authorized to perform: s3:GetObject" in described["FailureReason"]


@pytest.mark.usefixtures("healthy")
def test_a_caller_needs_permission_for_the_very_endpoint(cloud: ChildCloud) -> None:
    import boto3

    iam = cloud.client("iam")
    iam.create_user(UserName="caller")
    keys = iam.create_access_key(UserName="caller")["AccessKey"]
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=cloud.settings.url,
        region_name="us-east-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
    )

    def grant(endpoint: str) -> None:
        statement = {
            "Effect": "Allow",
            "Action": "sagemaker:InvokeEndpoint",
            "Resource": f"arn:aws:sagemaker:us-east-1:000000000000:endpoint/{endpoint}",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="caller", PolicyName="p", PolicyDocument=document)

    grant("another")
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint(EndpointName="healthy", Body=b"{}")
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"

    grant("healthy")
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
    healthy: Deployment, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError) as caught:
        healthy.sagemaker.create_endpoint_config(
            EndpointConfigName="wrong",
            ProductionVariants=[{**VARIANT, "ModelName": "healthy", **change}],
        )

    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert message in caught.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"Image": IMAGE + "0"}, "Requested image .* not found"),
        ({"Image": "docker.io/library/python:3"}, "non-ECR image"),
    ],
)
def test_a_model_needs_an_image_that_is_there(
    healthy: Deployment, container: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        Deployment(healthy.cloud, "imageless").model(**container)


@pytest.mark.parametrize("media_type", [OCI_MANIFEST_TYPE, OCI_INDEX_TYPE])
def test_an_oci_manifest_is_refused_in_aws_s_words(healthy: Deployment, media_type: str) -> None:
    tag = "index" if media_type == OCI_INDEX_TYPE else "manifest"
    healthy.cloud.client("ecr").put_image(
        repositoryName="toy",
        imageTag=tag,
        imageManifest=manifest_of("sha256:" + "1" * 64, media_type),
        imageManifestMediaType=media_type,
    )
    image = f"{IMAGE.rpartition(':')[0]}:{tag}"
    said = re.escape(f"Unsupported manifest media type {media_type} for image {image}. Ensure that")
    with pytest.raises(ClientError, match=said):
        Deployment(healthy.cloud, f"oci-{tag}").model(Image=image)
