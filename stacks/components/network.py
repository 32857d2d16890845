"""The network that models and training jobs run in: which, and what their roles may do for it."""

from dataclasses import dataclass

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker

from stacks.acknowledge import acknowledge
from stacks.components.grants import Unscoped, grant, shown_place

INTERFACE = "network-interface/*"


@dataclass(frozen=True)
class Network:
    """Ids of subnets and security groups, all of one VPC."""

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]

    def of_model(self) -> sagemaker.CfnModel.VpcConfigProperty:
        return sagemaker.CfnModel.VpcConfigProperty(
            subnets=list(self.subnets), security_group_ids=list(self.security_groups)
        )

    def grant_use(self, role: iam.Role) -> None:
        """What SageMaker does under `role`: network interfaces in these subnets, no others
        (developer guide, host-vpc; resources and condition keys: Service Authorization Reference,
        Amazon EC2). Needs UNSCOPED besides."""
        here = Stack.of(role)

        def arn(resource: str) -> str:
            return f"arn:{here.partition}:ec2:{here.region}:{here.account}:{resource}"

        subnets = [arn(f"subnet/{each}") for each in self.subnets]
        groups = [arn(f"security-group/{each}") for each in self.security_groups]
        # One that is being made has no subnet to be told by: the subnet is a resource beside it.
        grant(role, ["ec2:CreateNetworkInterface"], arn(INTERFACE), *subnets, *groups)
        grant(
            role,
            ["ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface"],
            arn(INTERFACE),
            conditions={"ArnEquals": {"ec2:Subnet": subnets}},
        )
        shown = f"arn:<AWS::Partition>:ec2:{shown_place(here)}:{INTERFACE}"
        acknowledge(
            role,
            "SageMaker makes network interfaces for each instance, and EC2 names them; they are of "
            "the subnets that the same statements name.",
            f"AwsSolutions-IAM5[Resource::{shown}]",
        )
        acknowledge(
            role.node.find_child("DefaultPolicy"),
            "What is permitted is to use a network interface; no permission of IAM's is managed.",
            "CKV_AWS_109",
        )


UNSCOPED = (
    *(
        Unscoped(
            f"ec2:Describe{what}", "SageMaker looks at the network; AWS has no resource for it"
        )
        for what in (
            "DhcpOptions",
            "NetworkInterfaces",
            "SecurityGroups",
            "Subnets",
            "VpcEndpoints",
            "Vpcs",
        )
    ),
    Unscoped(
        "ec2:DeleteNetworkInterfacePermission",
        "its request names a permission, and no interface to narrow it to",
    ),
)
