"""CloudFormation on the local cloud: SageMaker's types, waits, and what AWS refuses of logging."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from local_cloud.child import ChildCloud
from tests.fakes.local_account import make_role, role_arn, wait_for
from tests.fakes.local_function import LOGS
from tests.fakes.toy_endpoint import IMAGE, PRODUCTION_VARIANT, ToyEndpoint, model_data


class Stack:
    """Of `resources`, which a test may change between two calls."""

    def __init__(self, cloud: ChildCloud, name: str, resources: dict[str, Any]) -> None:
        self.cloud, self.name, self.resources = cloud, name, resources
        self.cfn = cloud.client("cloudformation")

    def properties(self, resource: str) -> dict[str, Any]:
        found: dict[str, Any] = self.resources[resource]["Properties"]
        return found

    def create(self) -> None:
        self.begin()
        self._wait("stack_create_complete")

    def begin(self) -> None:
        self.cfn.create_stack(StackName=self.name, TemplateBody=self._template())

    def update(self) -> None:
        self.cfn.update_stack(StackName=self.name, TemplateBody=self._template())
        self._wait("stack_update_complete")

    def delete(self) -> None:
        self.cfn.delete_stack(StackName=self.name)
        self._wait("stack_delete_complete")

    def refused(self, verb: str = "create") -> str:
        """Fails, with these reasons."""
        with pytest.raises(WaiterError):
            getattr(self, verb)()
        events = self.cfn.describe_stack_events(StackName=self.name)["StackEvents"]
        return "\n".join(
            event.get("ResourceStatusReason", "")
            for event in events
            if event["ResourceStatus"].endswith("_FAILED")
        )

    def outputs(self) -> dict[str, str]:
        described = self.cfn.describe_stacks(StackName=self.name)["Stacks"][0]
        return {item["OutputKey"]: item["OutputValue"] for item in described["Outputs"]}

    def _template(self) -> str:
        refs: dict[str, Any] = {name: {"Value": {"Ref": name}} for name in self.resources}
        if "Model" in self.resources:
            refs["ModelName"] = {"Value": {"Fn::GetAtt": ["Model", "ModelName"]}}
        return json.dumps({"Resources": self.resources, "Outputs": refs})

    def _wait(self, name: str) -> None:
        waiter = self.cfn.get_waiter(name)
        waiter.wait(StackName=self.name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 300})


def toy_stack(cloud: ChildCloud, name: str, toy: str = "one") -> Stack:
    """A model, its configuration, and an endpoint of the stack's name."""
    model = {
        "ExecutionRoleArn": role_arn("endpoint"),
        "EnableNetworkIsolation": True,
        "PrimaryContainer": {
            "Image": IMAGE,
            "Environment": {"TOY": toy},
            "ModelDataSource": model_data(),
        },
    }
    main = {
        **PRODUCTION_VARIANT,
        # A template may have numbers as text.
        "InitialInstanceCount": "1",
        "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
    }
    routing = {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}
    endpoint = {
        "EndpointName": name,
        "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
        "DeploymentConfig": {"BlueGreenUpdatePolicy": routing},
    }
    resources = {
        "Model": {"Type": "AWS::SageMaker::Model", "Properties": model},
        "Config": {
            "Type": "AWS::SageMaker::EndpointConfig",
            "Properties": {"ProductionVariants": [main]},
        },
        "Endpoint": {"Type": "AWS::SageMaker::Endpoint", "Properties": endpoint},
    }
    return Stack(cloud, name, resources)


def model_is_gone(cloud: ChildCloud, name: str) -> bool:
    with pytest.raises(ClientError, match="Could not find model"):
        cloud.client("sagemaker").describe_model(ModelName=name)
    return True


def test_changes_replace_models_move_the_endpoint_over_in_place_or_are_rolled_back(
    cloud: ChildCloud,
) -> None:
    place, stack = "arn:aws:sagemaker:us-east-1:000000000000", toy_stack(cloud, "cfn")
    stack.create()
    before = stack.outputs()
    assert before["Endpoint"] == f"{place}:endpoint/cfn"
    assert before["Model"].startswith(f"{place}:model/cfn-model-")
    assert before["Config"].startswith(f"{place}:endpoint-config/cfn-config-")
    environment = stack.properties("Model")["PrimaryContainer"]["Environment"]
    endpoint = ToyEndpoint(cloud, "cfn")

    environment["TOY"] = "two"
    stack.update()
    after = stack.outputs()
    assert endpoint.invoke()["toy"] == "two"
    assert after["Endpoint"] == before["Endpoint"]
    assert after["Config"] != before["Config"]
    assert model_is_gone(cloud, before["ModelName"])

    environment["TOY"] = "broken"
    assert "FATAL: weights.txt is not a model" in stack.refused("update")
    assert endpoint.invoke()["toy"] == "two"
    assert stack.outputs() == after

    stack.delete()
    assert model_is_gone(cloud, after["ModelName"])
    with pytest.raises(ClientError, match="Could not find endpoint"):
        endpoint.status()


def test_a_deploy_keeps_the_instances_that_scaling_has_made_where_the_template_says_so(
    cloud: ChildCloud,
) -> None:
    stack, endpoint = toy_stack(cloud, "keeps"), ToyEndpoint(cloud, "keeps")
    stack.properties("Endpoint")["RetainAllVariantProperties"] = True
    stack.create()
    endpoint.scale(2)
    stack.properties("Model")["PrimaryContainer"]["Environment"]["TOY"] = "two"
    stack.update()
    assert (endpoint.invoke()["toy"], endpoint.instances()) == ("two", (2, 2))
    stack.delete()


def test_a_failed_creation_leaves_nothing(cloud: ChildCloud) -> None:
    assert "FATAL: weights.txt is not a model" in toy_stack(cloud, "fails", "broken").refused()
    with pytest.raises(ClientError, match="Could not find endpoint"):
        ToyEndpoint(cloud, "fails").status()


@pytest.mark.parametrize(
    ("resource", "change", "message"),
    [
        ("Model", {"PrimaryContainers": []}, r"extraneous key \[PrimaryContainers\]"),
        ("Config", {"ProductionVariants": []}, "greater than or equal to 1"),
        ("Endpoint", {"EndpointConfigName": "nothing"}, "Could not find endpoint configuration"),
        # Ref is an ARN, and no name: a frequent mistake that only a deploy would show.
        ("Endpoint", {"EndpointConfigName": {"Ref": "Config"}}, "regular expression pattern"),
    ],
)
def test_a_wrong_template_fails_as_on_aws(
    cloud: ChildCloud, resource: str, change: dict[str, Any], message: str
) -> None:
    wrong = toy_stack(cloud, "wrong")
    wrong.properties(resource).update(change)
    assert re.search(message, wrong.refused())
    wrong.delete()


def test_a_wait_under_way_is_seen_and_its_timeout_can_t_change(cloud: ChildCloud) -> None:
    """cloudformation-coverage-roadmap#1097: such a change has to be refused here too."""
    wait = {"Handle": {"Ref": "Handle"}, "Timeout": "600", "Count": 1}
    ready = {"Type": "AWS::CloudFormation::WaitCondition", "Properties": wait}
    handle = {"Type": "AWS::CloudFormation::WaitConditionHandle"}
    waiting = Stack(cloud, "waiting", {"Handle": handle, "Ready": ready})
    waiting.begin()

    def status() -> str:
        found = waiting.cfn.describe_stack_resource(StackName="waiting", LogicalResourceId="Ready")
        return str(found["StackResourceDetail"]["ResourceStatus"])

    assert wait_for(status) == "CREATE_IN_PROGRESS"
    waiting.cfn.signal_resource(
        StackName="waiting", LogicalResourceId="Ready", UniqueId="1", Status="SUCCESS"
    )
    wait_for(lambda: status() == "CREATE_COMPLETE")

    for change in ({"Timeout": "700"}, {"Count": 2}):
        ready["Properties"] = {**wait, **change}
        refusal = waiting.refused("update")
    assert "AWS::CloudFormation::WaitCondition is not supported" in refusal


@pytest.mark.parametrize(("policy", "left"), [("Retain", 1), ("RetainExceptOnCreate", 0)])
def test_a_failed_creation_keeps_what_says_retain_unless_it_says_except_on_create(
    cloud: ChildCloud, policy: str, left: int
) -> None:
    name = f"kept-{policy.lower()}"
    kept = {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": policy,
        "Properties": {"BucketName": name},
    }
    wrong = {"Type": "AWS::SageMaker::Model", "DependsOn": "Kept", "Properties": {}}
    Stack(cloud, name, {"Kept": kept, "Wrong": wrong}).refused()
    buckets = cloud.client("s3").list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in buckets].count(name) == left


def test_a_log_group_that_is_there_fails_the_deploy_and_keeps_its_lines(cloud: ChildCloud) -> None:
    logs, name = cloud.client("logs"), "/aws/sagemaker/Endpoints/left"
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="main/i-1")
    group = {"LogGroupName": name, "RetentionInDays": 30}
    declared = Stack(
        cloud, "declared", {"Group": {"Type": "AWS::Logs::LogGroup", "Properties": group}}
    )

    assert (
        "Resource of type 'AWS::Logs::LogGroup' with identifier "
        f'\'{{"/properties/LogGroupName":"{name}"}}\' already exists.'
    ) in declared.refused()
    assert logs.describe_log_streams(logGroupName=name)["logStreams"]

    # What the operations page says to do.
    logs.delete_log_group(logGroupName=name)
    declared.delete()
    declared.create()
    group["RetentionInDays"] = 7
    declared.update()
    (found,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert found["retentionInDays"] == 7


def test_a_function_may_loop_where_its_template_says_so(cloud: ChildCloud) -> None:
    properties = {
        "FunctionName": "loops",
        "Runtime": "python3.12",
        "Handler": "index.handler",
        "Role": make_role(cloud, "loops", "lambda", LOGS),
        "Code": {"ZipFile": "def handler(event, context): ..."},
    }
    stack = Stack(
        cloud, "loops", {"Function": {"Type": "AWS::Lambda::Function", "Properties": properties}}
    )
    stack.create()
    setting = partial(cloud.client("lambda").get_function_recursion_config, FunctionName="loops")
    assert setting()["RecursiveLoop"] == "Terminate"
    properties["RecursiveLoop"] = "Allow"
    stack.update()
    assert setting()["RecursiveLoop"] == "Allow"


EVERYWHERE = {"HttpMethod": "*", "ResourcePath": "/*"}


def api(stage: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An API's resources; the stage comes after `more`."""
    where = {"RestApiId": {"Ref": "Api"}, "DeploymentId": {"Ref": "Deployment"}, "StageName": "v1"}
    return {
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "api"}},
        "Deployment": {
            "Type": "AWS::ApiGateway::Deployment",
            "Properties": {"RestApiId": {"Ref": "Api"}},
        },
        **more,
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "DependsOn": ["Deployment", *more],
            "Properties": {**where, **stage},
        },
    }


@pytest.mark.parametrize(
    ("name", "logs"),
    [
        ("access", {"AccessLogSetting": {"DestinationArn": "arn", "Format": "$context.requestId"}}),
        ("execution", {"MethodSettings": [{**EVERYWHERE, "LoggingLevel": "ERROR"}]}),
    ],
)
def test_a_stage_that_logs_needs_the_account_s_role(
    cloud: ChildCloud, name: str, logs: dict[str, Any]
) -> None:
    said = "CloudWatch Logs role ARN must be set in account settings"
    metrics = {"MethodSettings": [{**EVERYWHERE, "MetricsEnabled": True}]}
    quiet = Stack(cloud, f"quiet-{name}", api(metrics))
    quiet.create()
    quiet.resources = api(logs)
    assert said in quiet.refused("update")
    assert said in Stack(cloud, f"refused-{name}", api(logs)).refused()

    account = {
        "Type": "AWS::ApiGateway::Account",
        "Properties": {"CloudWatchRoleArn": role_arn("logs")},
    }
    with_role = Stack(cloud, f"role-{name}", api(logs, Account=account))
    with_role.create()
    with_role.delete()
