"""A model's or a job's VpcConfig: what SageMaker sees to, and does, under the execution role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from local_cloud import aws
from local_cloud.ministack.identity import RoleSession, denied
from local_cloud.sagemaker.resources import invalid
from local_cloud.settings import CloudSettings

VpcConfig = Mapping[str, Any]
# developer guide, host-vpc.
ZONES = 2
# AWS's sentences: aws-solutions-library-samples/guidance-for-text-generation-using-embeddings-from-
# enterprise-data-on-aws#3, and aws/amazon-sagemaker-operator-for-k8s#22 of an upload.
MODEL_UNREACHABLE = (
    'Failed to download model data from URL "{}". Please ensure that an S3 VPC endpoint exists in '
    "route table or NAT gateway for the VPC mode and the URL is reachable from within the subnets "
    "provided."
)
DATA_UNREACHABLE = (
    "ClientError: Data download failed:Please ensure that the subnet's route table has a route to "
    "an S3 VPC endpoint or a NAT device, and both the security groups and the subnet's network ACL "
    "allow outbound traffic to S3"
)


def check_network(
    settings: CloudSettings, vpc: VpcConfig | None, role: RoleSession, zones: int = 1
) -> None:
    """BadRequest for a network that isn't one, or that the role may not use."""
    if vpc is None:
        return
    for action, resource, context in _needed(settings, vpc):
        if denied(settings, role.access_key, action, resource, context):
            raise invalid(
                f"The role {role.role_arn} is not authorized to perform: {action} on resource: "
                f"{resource}"
            )
    ec2: Any = aws.client(settings, "ec2", role)
    try:
        subnets = ec2.describe_subnets(SubnetIds=vpc["Subnets"])["Subnets"]
        groups = ec2.describe_security_groups(GroupIds=vpc["SecurityGroupIds"])["SecurityGroups"]
    except ClientError as error:
        raise invalid(error.response["Error"]["Message"]) from error
    if len({each["VpcId"] for each in (*subnets, *groups)}) > 1:
        # EC2's own.
        raise invalid("You have specified two resources that belong to different networks.")
    if len({each["AvailabilityZone"] for each in subnets}) < zones:
        raise invalid(f"VpcConfig: subnets in at least {zones} availability zones are needed.")


def _needed(
    settings: CloudSettings, vpc: VpcConfig
) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """(action, resource, what conditions see of it), as developer guide, host-vpc has them and the
    Service Authorization Reference (Amazon EC2) has their resources."""
    subnets = [settings.arn("ec2", f"subnet/{each}") for each in vpc["Subnets"]]
    groups = [settings.arn("ec2", f"security-group/{each}") for each in vpc["SecurityGroupIds"]]
    interface = settings.arn("ec2", "network-interface/eni-0123456789abcdef0")
    for resource in (interface, *subnets, *groups):
        yield "ec2:CreateNetworkInterface", resource, {}
    for subnet in subnets:
        for action in ("CreateNetworkInterfacePermission", "DeleteNetworkInterface"):
            yield f"ec2:{action}", interface, {"ec2:subnet": subnet}
    for what in ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "VpcEndpoints",
                 "Vpcs"):  # fmt: skip
        yield f"ec2:Describe{what}", "*", {}
    yield "ec2:DeleteNetworkInterfacePermission", "*", {}
