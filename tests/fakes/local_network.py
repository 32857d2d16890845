"""Networks of a local cloud's account: the app's own from its template, and others by the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from local_cloud.child import ChildCloud
from tests.fakes.local_account import Statement, wait_for
from tests.infrastructure.support import G5_ALONE, Synthesized, synthesize, text_of

STACK = "NetNetworkStack"
CONTEXT = {"sd.prefix": "net", **G5_ALONE}


def synthesize_own(folder: Path) -> Synthesized:
    services = {"sd.network.interface_endpoints": "kms,sagemaker.runtime"}
    return synthesize(folder, **CONTEXT, **services, **{"sd.network.vpc": "own"})


def deploy_own(cloud: ChildCloud, app: Synthesized) -> dict[str, Any]:
    """The VpcConfig that it makes."""
    template = {"Resources": app.templates[STACK]["Resources"]}
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(
        StackName=STACK, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"]
    )

    def ended() -> str:
        (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        status = str(stack["StackStatus"])
        return "" if status.endswith("IN_PROGRESS") else status

    events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    assert wait_for(ended) == "CREATE_COMPLETE", events
    resources = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    made = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources}
    kinds = {each["LogicalResourceId"]: each["ResourceType"] for each in resources}
    models, _ = app.one(
        STACK,
        "AWS::EC2::SecurityGroup",
        {"GroupDescription": "Models and training jobs: nothing comes in"},
    )
    subnets = [made[name] for name, kind in kinds.items() if kind == "AWS::EC2::Subnet"]
    return {"Subnets": subnets, "SecurityGroupIds": [made[models]]}


def statements_for(folder: Path, network: dict[str, Any]) -> list[Statement]:
    """What the app's own role for models may do with EC2, where it is given that network."""
    app = synthesize(
        folder,
        **CONTEXT,
        **{
            "sd.network.vpc": "given",
            "sd.network.subnets": ",".join(network["Subnets"]),
            "sd.network.security_groups": ",".join(network["SecurityGroupIds"]),
        },
    )
    return [
        {
            **each.raw,
            "Resource": [_here(resource) for resource in each.resources],
            **(
                {"Condition": {"ArnEquals": {"ec2:Subnet": [_here(text_of(s)) for s in subnets]}}}
                if (subnets := each.raw.get("Condition", {}).get("ArnEquals", {}).get("ec2:Subnet"))
                else {}
            ),
        }
        for each in app.statements()
        if each.stack == "NetG5Stack" and each.actions[0].startswith("ec2:")
    ]


def _here(resource: str) -> str:
    return resource.replace("<AWS::Partition>", "aws").replace("<AWS::AccountId>", "0" * 12)


def make_network(cloud: ChildCloud, *zones: str) -> dict[str, Any]:
    """The VpcConfig of one with a subnet in each zone and no way out."""
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=zone)
        for number, zone in enumerate(zones)
    ]
    group = ec2.create_security_group(GroupName="models", Description="models", VpcId=vpc)
    return {
        "Subnets": [each["Subnet"]["SubnetId"] for each in subnets],
        "SecurityGroupIds": [group["GroupId"]],
    }
