"""`sd.network` in the templates: who is in it, who isn't, and where it leads."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2
from cfnlint.api import lint_by_config
from cfnlint.config import ManualArgs

from stacks.settings.network import INTERFACES
from tests.infrastructure.support import (
    G5_ALONE,
    REGIONS,
    SIGNING,
    Synthesized,
    synthesize,
    text_of,
    variables,
)
from tests.infrastructure.template_problems import problems

STACK = "SdNetworkStack"
ENDPOINT, GROUP = "AWS::EC2::VPCEndpoint", "AWS::EC2::SecurityGroup"
SUBNETS = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
GROUPS = ["sg-0123456789abcdef0"]
GIVEN = {
    "sd.network.vpc": "given",
    "sd.network.subnets": ",".join(SUBNETS),
    "sd.network.security_groups": ",".join(GROUPS),
}
OWN = {"sd.network.vpc": "own"}
INTERFACE = "arn:<AWS::Partition>:ec2:us-east-1:<AWS::AccountId>:network-interface/*"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize(tmp_path_factory.mktemp("own"), **OWN)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize(tmp_path_factory.mktemp("given"), **GIVEN)


def services(app: Synthesized) -> dict[str, Mapping[str, Any]]:
    """Endpoints' properties by the ends of their services' names."""
    found = [each["Properties"] for each in app.resources(STACK, ENDPOINT).values()]
    return {_end(text_of(each["ServiceName"])): each for each in found}


def _end(name: str) -> str:
    return name.replace("<AWS::Region>", "us-east-1").removeprefix("com.amazonaws.us-east-1.")


def bulk_of(app: Synthesized, stack: str) -> dict[str, Any]:
    fleet = {"Name": f"/sd/fleets/{stack.removeprefix('Sd').removesuffix('Stack').lower()}"}
    value = app.only(stack, "AWS::SSM::Parameter", fleet)["Properties"]["Value"]
    bulk: dict[str, Any] = json.loads(text_of(value))["bulk"]
    return bulk


@pytest.mark.parametrize("region", REGIONS)
def test_cfn_lint_has_nothing_against_it_in(region: str, own: Synthesized) -> None:
    template = str(own.folder / f"{STACK}.template.json")
    found = lint_by_config(ManualArgs(templates=[template], regions=[region]))
    assert [f"{each.rule.id} {each.message}" for each in found] == []


def test_by_default_nothing_is_in_a_vpc_and_there_is_none(aws: Synthesized) -> None:
    assert "SdNetworkStack" not in aws.templates
    assert "VpcConfig" not in json.dumps(aws.templates)
    assert bulk_of(aws, "SdG5Stack")["subnets"] == []


def test_models_and_training_jobs_are_in_the_network_that_is_given(
    given: Synthesized, variant: str
) -> None:
    stack = f"Sd{variant.capitalize()}Stack"
    model = given.only(stack, "AWS::SageMaker::Model")["Properties"]
    assert model["VpcConfig"] == {"Subnets": SUBNETS, "SecurityGroupIds": GROUPS}
    assert model["EnableNetworkIsolation"] is True
    bulk = bulk_of(given, stack)
    assert (bulk["subnets"], bulk["security_groups"]) == (SUBNETS, GROUPS)


def test_so_is_the_compile(given: Synthesized) -> None:
    projects = given.resources("SdInf2CompileStack", "AWS::CodeBuild::Project").values()
    (told,) = [each for each in map(variables, projects) if "SD_SUBNETS" in each]
    assert json.loads(told["SD_SUBNETS"]) == SUBNETS
    assert json.loads(told["SD_SECURITY_GROUPS"]) == GROUPS


@pytest.mark.parametrize("network", [OWN, GIVEN], ids=["own", "given"])
def test_functions_and_builds_are_in_none(
    network: dict[str, str], own: Synthesized, given: Synthesized
) -> None:
    """They call some ten services, the builds the internet: nothing they'd reach there."""
    app = own if network is OWN else given
    for kind in ("AWS::Lambda::Function", "AWS::CodeBuild::Project"):
        assert not [stack for stack, each in app.every(kind) if "VpcConfig" in each["Properties"]]


def test_who_runs_there_may_make_interfaces_there_and_nowhere_else(given: Synthesized) -> None:
    here = "arn:<AWS::Partition>:ec2:us-east-1:<AWS::AccountId>:"
    named = {f"{here}subnet/{each}" for each in SUBNETS}
    named |= {f"{here}security-group/{each}" for each in GROUPS}
    seen = set()
    for statement in given.statements():
        actions = {action for action in statement.actions if action.startswith("ec2:")}
        seen |= {(statement.stack, action) for action in actions}
        if actions == {"ec2:CreateNetworkInterface"}:
            assert set(statement.resources) == {INTERFACE, *named}
        elif any("Describe" not in action for action in actions):
            if statement.resources != ("*",):
                assert statement.resources == (INTERFACE,)
                (subnets,) = statement.raw["Condition"]["ArnEquals"].values()
                assert {text_of(each) for each in subnets} < named
            else:
                assert actions == {"ec2:DeleteNetworkInterfacePermission"}
    for stack in ("SdG5Stack", "SdDjlStack", "SdInf2Stack", "SdBatchStack", "SdInf2CompileStack"):
        assert (stack, "ec2:CreateNetworkInterfacePermission") in seen


def test_the_own_network_leads_to_s3_and_nowhere_else(own: Synthesized) -> None:
    assert set(services(own)) == {"s3"}
    kinds = {each["Type"] for each in own.templates[STACK]["Resources"].values()}
    assert not kinds & {
        "AWS::EC2::InternetGateway",
        "AWS::EC2::NatGateway",
        "AWS::EC2::Route",
        "AWS::EC2::EIP",
    }
    tables = {each["Ref"] for each in services(own)["s3"]["RouteTableIds"]}
    assert tables == set(own.resources(STACK, "AWS::EC2::RouteTable"))
    associated = own.resources(STACK, "AWS::EC2::SubnetRouteTableAssociation").values()
    assert {each["Properties"]["SubnetId"]["Ref"] for each in associated} == set(
        own.resources(STACK, "AWS::EC2::Subnet")
    )


def test_s3_there_is_this_accounts(own: Synthesized) -> None:
    """What a container were made to read or write elsewhere, it couldn't."""
    (statement,) = services(own)["s3"]["PolicyDocument"]["Statement"]
    account = {"Ref": "AWS::AccountId"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:PrincipalAccount": account, "s3:ResourceAccount": account}
    }
    assert not [action for action in statement["Action"] if "*" in action]


def test_s3_there_allows_what_the_roles_of_who_runs_there_may_do(own: Synthesized) -> None:
    (statement,) = services(own)["s3"]["PolicyDocument"]["Statement"]
    inside = {
        (each.stack, role)
        for each in own.statements()
        for role in each.roles
        if "ec2:CreateNetworkInterface" in each.actions
    }
    used = {
        action
        for each in own.statements()
        for action in each.actions
        if action.startswith("s3:") and inside & {(each.stack, role) for role in each.roles}
    }
    assert used == set(statement["Action"])


def test_nothing_comes_into_models_and_all_that_goes_out_is_https(own: Synthesized) -> None:
    group = own.only(STACK, GROUP)["Properties"]
    assert "SecurityGroupIngress" not in group
    assert own.resources(STACK, "AWS::EC2::SecurityGroupIngress") == {}
    (rule,) = group["SecurityGroupEgress"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)


def test_what_is_refused_is_logged(own: Synthesized) -> None:
    log = own.only(STACK, "AWS::EC2::FlowLog")["Properties"]
    assert (log["TrafficType"], log["ResourceType"]) == ("REJECT", "VPC")
    allowed = own.allowed(STACK, log["DeliverLogsPermissionArn"])
    assert all("*" not in resource for each in allowed.values() for resource in each)


def test_signed_batches_reach_the_signer(tmp_path: Path) -> None:
    """A bulk job's container is the one that calls a service other than S3."""
    app = synthesize(tmp_path, **OWN, **SIGNING, **G5_ALONE)
    assert set(services(app)) == {"lambda", "s3"}


def test_further_services_are_reached_from_models_alone(tmp_path: Path) -> None:
    app = synthesize(
        tmp_path, **OWN, **G5_ALONE, **{"sd.network.interface_endpoints": ",".join(INTERFACES)}
    )
    assert set(services(app)) == {*INTERFACES, "s3"}
    (rule,) = app.resources(STACK, "AWS::EC2::SecurityGroupIngress").values()
    models, _ = app.one(
        STACK, GROUP, {"GroupDescription": "Models and training jobs: nothing comes in"}
    )
    assert rule["Properties"]["SourceSecurityGroupId"] == {"Fn::GetAtt": [models, "GroupId"]}
    assert list(problems(app.templates, "us-east-1")) == []


def test_zones_can_be_chosen(tmp_path: Path) -> None:
    """Not every zone has every instance type."""
    zones = ["us-east-1b", "us-east-1c", "us-east-1d"]
    app = synthesize(tmp_path, **OWN, **G5_ALONE, **{"sd.network.zones": ",".join(zones)})
    subnets = app.resources(STACK, "AWS::EC2::Subnet").values()
    assert [each["Properties"]["AvailabilityZone"] for each in subnets] == zones
    vpc = app.only("SdG5Stack", "AWS::SageMaker::Model")["Properties"]["VpcConfig"]
    assert len(vpc["Subnets"]) == len(zones)


def test_a_description_that_ec2_refuses_is_found(tmp_path: Path) -> None:
    def describe(app: App) -> None:
        stack = Stack.of(app.node.find_child(STACK))
        group = stack.node.find_child("Models").node.default_child
        assert isinstance(group, ec2.CfnSecurityGroup)
        group.group_description = "the models' own"

    app = synthesize(tmp_path, describe, **OWN, **G5_ALONE)
    (said,) = problems(app.templates, "us-east-1")
    assert "GroupDescription: 1 is not from 0 to 0" in said
