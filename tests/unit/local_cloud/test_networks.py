"""Models and training jobs in a VPC: the app's own network is one, and SageMaker's duties hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from tests.fakes.local_account import allow, make_role, policy
from tests.fakes.local_network import (
    STACK,
    deploy_own,
    make_network,
    statements_for,
    synthesize_own,
)
from tests.fakes.toy_endpoint import PULLS_LOADS_LOGS, ToyEndpoint
from tests.fakes.training_job import TrainingJob
from tests.infrastructure.support import Synthesized

EC2 = allow(
    "ec2:CreateNetworkInterface ec2:CreateNetworkInterfacePermission ec2:DeleteNetworkInterface "
    "ec2:DeleteNetworkInterfacePermission ec2:DescribeDhcpOptions ec2:DescribeNetworkInterfaces "
    "ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeVpcEndpoints ec2:DescribeVpcs"
)
LOGS = allow("logs:CreateLogGroup")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize_own(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def own(cloud: ChildCloud, app: Synthesized) -> dict[str, Any]:
    """The app's own network, of which a VpcConfig is left."""
    return deploy_own(cloud, app)


@pytest.fixture(scope="module")
def anywhere(cloud: ChildCloud) -> str:
    """A role for models in any network."""
    make_role(cloud, "anywhere", "sagemaker", *PULLS_LOADS_LOGS, LOGS, EC2)
    return "anywhere"


def refusal(cloud: ChildCloud, network: dict[str, Any], role: str) -> str:
    with pytest.raises(ClientError) as caught:
        ToyEndpoint(cloud, "not-there").model(role=role, network=network)
    return str(caught.value)


def test_the_apps_network_and_role_serve_a_model(
    cloud: ChildCloud, own: dict[str, Any], tmp_path: Path
) -> None:
    allowed = statements_for(tmp_path, own)
    make_role(cloud, "inside", "sagemaker", *PULLS_LOADS_LOGS, LOGS, *allowed)
    endpoint = ToyEndpoint(cloud, "inside")
    described = endpoint.create(role="inside", network=own)
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    assert endpoint.sagemaker.describe_model(ModelName="inside")["VpcConfig"] == own
    other = make_network(cloud, "us-east-1a", "us-east-1b")
    assert "ec2:CreateNetworkInterface on resource" in refusal(cloud, other, "inside")


def test_a_role_without_permissions_for_the_network_is_refused(
    cloud: ChildCloud, own: dict[str, Any]
) -> None:
    said = refusal(cloud, own, "endpoint")
    assert "not authorized to perform: ec2:CreateNetworkInterface" in said


def test_a_network_without_a_way_to_s3_fails_the_endpoint_in_awss_words(
    cloud: ChildCloud, anywhere: str
) -> None:
    network = make_network(cloud, "us-east-1a", "us-east-1b")
    described = ToyEndpoint(cloud, "shut-in").create(role=anywhere, network=network)
    assert described["EndpointStatus"] == "Failed"
    assert described["FailureReason"].startswith(
        'Failed to download model data from URL "s3://models/toy/". Please ensure that an S3 VPC '
        "endpoint exists in route table or NAT gateway for the VPC mode"
    )


def test_a_network_that_is_none_is_refused(cloud: ChildCloud, anywhere: str) -> None:
    one = make_network(cloud, "us-east-1a", "us-east-1a")
    two = make_network(cloud, "us-east-1a", "us-east-1b")
    gone = {**two, "Subnets": ["subnet-0123456789abcdef0", *two["Subnets"]]}
    mixed = {**two, "SecurityGroupIds": one["SecurityGroupIds"]}
    assert "'subnet-0123456789abcdef0' does not exist" in refusal(cloud, gone, anywhere)
    assert "belong to different networks" in refusal(cloud, mixed, anywhere)
    assert "at least 2 availability zones" in refusal(cloud, one, anywhere)


@pytest.mark.usefixtures("training_account")
def test_a_training_job_needs_a_way_to_s3_as_well(cloud: ChildCloud, own: dict[str, Any]) -> None:
    cloud.client("iam").put_role_policy(
        RoleName="training", PolicyName="network", PolicyDocument=policy(EC2)
    )
    assert TrainingJob(cloud, "net-in", VpcConfig=own).ended()["TrainingJobStatus"] == "Completed"
    network = make_network(cloud, "us-east-1a")
    described = TrainingJob(cloud, "net-shut-in", VpcConfig=network).ended()
    assert described["FailureReason"].startswith(
        "ClientError: Data download failed:Please ensure that the subnet's route table has a route"
    )


def test_destroyed_it_leaves_nothing(cloud: ChildCloud, own: dict[str, Any]) -> None:
    ec2, cloudformation = cloud.client("ec2"), cloud.client("cloudformation")
    (flow_log,) = ec2.describe_flow_logs()["FlowLogs"]
    assert flow_log["TrafficType"] == "REJECT"
    cloudformation.delete_stack(StackName=STACK)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1}
    )
    assert ec2.describe_flow_logs()["FlowLogs"] == []
    with pytest.raises(ClientError, match="does not exist"):
        ec2.describe_subnets(SubnetIds=own["Subnets"])
