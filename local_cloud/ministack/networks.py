"""Networks: the types that MiniStack's CloudFormation lacks, and where a subnet's routes lead."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from local_cloud.ministack.cloudformation import Properties, Provisioned, ResourceType, register
from local_cloud.ministack.identity import RoleUnusable, assume_service_role
from local_cloud.settings import CloudSettings

HTTPS = 443
FLOW_LOGS = "vpc-flow-logs.amazonaws.com"


def register_network_types(settings: CloudSettings) -> None:
    """Of flow logs the record alone: no packets run here."""

    def create_flow_log(_name: str, props: Properties) -> Provisioned:
        try:
            assume_service_role(settings, props["DeliverLogsPermissionArn"], FLOW_LOGS, "FlowLogs")
        except RoleUnusable as error:
            raise ValueError(f"Access error: {error}") from error
        if props["ResourceId"] not in ec2._vpcs:
            raise ValueError(f"The vpc ID '{props['ResourceId']}' does not exist")
        flow_log_id = f"fl-{secrets.token_hex(9)[:17]}"
        ec2._flow_logs[flow_log_id] = {
            **{name: value for name, value in props.items() if name != "LogGroupName"},
            "FlowLogId": flow_log_id,
            "FlowLogStatus": "ACTIVE",
            "LogDestination": props["LogGroupName"],
            "LogDestinationType": "cloud-watch-logs",
            "CreationTime": ec2._now_ts(),
        }
        return flow_log_id, {}

    register(
        ResourceType(
            name="AWS::EC2::FlowLog",
            create=create_flow_log,
            update=lambda flow_log_id, _old, _new: (flow_log_id, {}),
            delete=lambda flow_log_id, _props: ec2._flow_logs.pop(flow_log_id, None),
            replacing=(
                "DeliverLogsPermissionArn",
                "LogGroupName",
                "ResourceId",
                "ResourceType",
                "TrafficType",
            ),
        ),
        ResourceType(
            name="AWS::EC2::SecurityGroupIngress",
            create=_let_in,
            update=lambda rule_id, _old, _new: (rule_id, {}),
            delete=lambda _id, props: _shut_out(props),
            replacing=("GroupId", "IpProtocol", "FromPort", "ToPort", "SourceSecurityGroupId"),
        ),
    )


def _let_in(_name: str, props: Properties) -> Provisioned:
    _group(props["GroupId"])["IpPermissions"] += provisioners._ec2_sg_permissions([dict(props)])
    return f"sgr-{secrets.token_hex(9)[:17]}", {}


def _shut_out(props: Properties) -> None:
    if group := ec2._security_groups.get(props["GroupId"]):
        rules = provisioners._ec2_sg_permissions([dict(props)])
        group["IpPermissions"] = [each for each in group["IpPermissions"] if each not in rules]


def _group(group_id: str) -> Any:
    if group_id not in ec2._security_groups:
        raise ValueError(f"The security group '{group_id}' does not exist")
    return ec2._security_groups[group_id]


def leads_to_s3(vpc: Mapping[str, Any]) -> bool:
    """Whether from each of a VpcConfig's subnets S3 can be reached, as far as routes and security
    groups say."""
    groups = [ec2._security_groups[group] for group in vpc["SecurityGroupIds"]]
    rules = [rule for group in groups for rule in group["IpPermissionsEgress"]]
    return any(map(_lets_https, rules)) and all(map(_has_way_to_s3, vpc["Subnets"]))


def _lets_https(rule: Mapping[str, Any]) -> bool:
    if rule["IpProtocol"] == "-1":
        return True
    return bool(rule["IpProtocol"] == "tcp" and rule["FromPort"] <= HTTPS <= rule["ToPort"])


def _has_way_to_s3(subnet_id: str) -> bool:
    vpc_id = ec2._subnets[subnet_id]["VpcId"]
    tables = [table for table in ec2._route_tables.values() if table["VpcId"] == vpc_id]
    own = [table for table in tables if _associated(table, "SubnetId", subnet_id)]
    table = (own or [table for table in tables if _associated(table, "Main", True)])[0]
    endpoints = [
        endpoint
        for endpoint in ec2._vpc_endpoints.values()
        if endpoint["VpcId"] == vpc_id and endpoint["ServiceName"].endswith(".s3")
    ]
    return any(
        endpoint["VpcEndpointType"] == "Interface"
        or table["RouteTableId"] in endpoint["RouteTableIds"]
        for endpoint in endpoints
    ) or any(route.get("NatGatewayId") for route in table["Routes"])


def _associated(table: Mapping[str, Any], member: str, value: object) -> bool:
    return any(each.get(member) == value for each in table["Associations"])
