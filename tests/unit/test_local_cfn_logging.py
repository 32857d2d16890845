"""CloudFormation and logging on the local cloud: refused where AWS refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from local_cloud.child import ChildCloud
from tests.unit.test_local_cfn import Stack

GROUP = "/aws/sagemaker/Endpoints/left"
API: dict[str, Any] = {
    "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "api"}},
    "Root": {
        "Type": "AWS::ApiGateway::Method",
        "Properties": {
            "RestApiId": {"Ref": "Api"},
            "ResourceId": {"Fn::GetAtt": ["Api", "RootResourceId"]},
            "HttpMethod": "GET",
            "AuthorizationType": "NONE",
            "Integration": {"Type": "MOCK"},
        },
    },
    "Deployment": {
        "Type": "AWS::ApiGateway::Deployment",
        "DependsOn": "Root",
        "Properties": {"RestApiId": {"Ref": "Api"}},
    },
}
ACCESS = {"AccessLogSetting": {"DestinationArn": "arn", "Format": "$context.requestId"}}
EXECUTION = {"MethodSettings": [{"HttpMethod": "*", "ResourcePath": "/*", "LoggingLevel": "ERROR"}]}
METRICS = {"MethodSettings": [{"HttpMethod": "*", "ResourcePath": "/*", "MetricsEnabled": True}]}
ROLE = {
    "Account": {
        "Type": "AWS::ApiGateway::Account",
        "Properties": {"CloudWatchRoleArn": "arn:aws:iam::000000000000:role/logs"},
    }
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[ChildCloud]:
    with ChildCloud() as running:
        yield running


def stack(cloud: ChildCloud, name: str, resources: dict[str, Any]) -> Stack:
    made = Stack(cloud, name)
    made.template = {"Resources": resources}
    return made


def test_a_log_group_that_is_there_fails_the_deploy_and_keeps_its_lines(cloud: ChildCloud) -> None:
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName="main/i-1")
    group = {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"LogGroupName": GROUP, "RetentionInDays": 30},
    }
    declared = stack(cloud, "declared", {"Group": group})

    with pytest.raises(WaiterError):
        declared.create()

    assert (
        "Resource of type 'AWS::Logs::LogGroup' with identifier "
        f'\'{{"/properties/LogGroupName":"{GROUP}"}}\' already exists.'
    ) in declared.reasons()
    assert logs.describe_log_streams(logGroupName=GROUP)["logStreams"]

    # What the operations page says to do.
    logs.delete_log_group(logGroupName=GROUP)
    declared.delete()
    declared.create()
    declared.template["Resources"]["Group"]["Properties"]["RetentionInDays"] = 7
    declared.update()
    (found,) = logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
    assert found["retentionInDays"] == 7


@pytest.mark.parametrize("logs", [ACCESS, EXECUTION])
def test_a_stage_that_logs_needs_the_account_s_role(
    cloud: ChildCloud, logs: dict[str, Any]
) -> None:
    name = next(iter(logs)).lower()
    where = {"RestApiId": {"Ref": "Api"}, "DeploymentId": {"Ref": "Deployment"}, "StageName": "v1"}

    def api(extra: dict[str, Any], **more: Any) -> dict[str, Any]:
        stage = {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {**where, **extra},
            **({"DependsOn": list(more)} if more else {}),
        }
        return {**API, **more, "Stage": stage}

    quiet = stack(cloud, f"quiet-{name}", api(METRICS))
    quiet.create()
    quiet.template = {"Resources": api(logs)}
    with pytest.raises(WaiterError):
        quiet.update()
    refused = stack(cloud, f"refused-{name}", api(logs))
    with pytest.raises(WaiterError):
        refused.create()
    for each in (quiet, refused):
        assert "CloudWatch Logs role ARN must be set in account settings" in each.reasons()

    with_role = stack(cloud, f"role-{name}", api(logs, **ROLE))
    with_role.create()
    with_role.delete()
