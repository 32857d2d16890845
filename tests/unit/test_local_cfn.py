"""CloudFormation's SageMaker types as the local cloud has them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from local_cloud.child import ChildCloud
from tests.local_fakes import IMAGE, VARIANT, make_toy, wait_for

TEMPLATE: dict[str, Any] = {
    "Resources": {
        "Model": {
            "Type": "AWS::SageMaker::Model",
            "Properties": {
                "ExecutionRoleArn": "arn:aws:iam::000000000000:role/endpoint",
                "EnableNetworkIsolation": True,
                "PrimaryContainer": {
                    "Image": IMAGE,
                    "Environment": {"TOY": "one"},
                    "ModelDataSource": {
                        "S3DataSource": {
                            "S3Uri": "s3://models/toy/",
                            "S3DataType": "S3Prefix",
                            "CompressionType": "None",
                        }
                    },
                },
            },
        },
        "Config": {
            "Type": "AWS::SageMaker::EndpointConfig",
            "Properties": {
                "ProductionVariants": [
                    # A template may have numbers as text.
                    {
                        **VARIANT,
                        "InitialInstanceCount": "1",
                        "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
                    }
                ]
            },
        },
        "Endpoint": {
            "Type": "AWS::SageMaker::Endpoint",
            "Properties": {
                "EndpointName": "cfn",
                "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
                "DeploymentConfig": {
                    "BlueGreenUpdatePolicy": {
                        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE"},
                    }
                },
            },
        },
    },
    "Outputs": {name: {"Value": {"Ref": name}} for name in ("Model", "Config", "Endpoint")},
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[ChildCloud]:
    with ChildCloud() as running:
        make_toy(running)
        yield running


class Stack:
    def __init__(self, cloud: ChildCloud, name: str = "toy") -> None:
        self.cloud, self.name, self.template = cloud, name, copy.deepcopy(TEMPLATE)
        self.cfn = cloud.client("cloudformation")

    def properties(self, resource: str) -> dict[str, Any]:
        found: dict[str, Any] = self.template["Resources"][resource]["Properties"]
        return found

    def create(self) -> None:
        self.cfn.create_stack(StackName=self.name, TemplateBody=json.dumps(self.template))
        self._wait("stack_create_complete")

    def update(self) -> None:
        self.cfn.update_stack(StackName=self.name, TemplateBody=json.dumps(self.template))
        self._wait("stack_update_complete")

    def delete(self) -> None:
        self.cfn.delete_stack(StackName=self.name)
        self._wait("stack_delete_complete")

    def outputs(self) -> dict[str, str]:
        described = self.cfn.describe_stacks(StackName=self.name)["Stacks"][0]
        return {item["OutputKey"]: item["OutputValue"] for item in described["Outputs"]}

    def reasons(self) -> str:
        events = self.cfn.describe_stack_events(StackName=self.name)["StackEvents"]
        return "\n".join(
            event.get("ResourceStatusReason", "")
            for event in events
            if event["ResourceStatus"].endswith("_FAILED")
        )

    def toy(self) -> str:
        runtime = self.cloud.client("sagemaker-runtime")
        answer = runtime.invoke_endpoint(EndpointName="cfn", Body=b"{}")
        said: str = json.loads(answer["Body"].read())["toy"]
        return said

    def _wait(self, name: str) -> None:
        waiter = self.cfn.get_waiter(name)
        waiter.wait(StackName=self.name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 300})


@pytest.fixture(scope="module")
def stack(cloud: ChildCloud) -> Stack:
    stack = Stack(cloud)
    stack.create()
    return stack


def test_ref_gives_arns(stack: Stack) -> None:
    place = "arn:aws:sagemaker:us-east-1:000000000000"
    outputs = stack.outputs()
    assert outputs["Endpoint"] == f"{place}:endpoint/cfn"
    assert outputs["Model"].startswith(f"{place}:model/toy-model-")
    assert outputs["Config"].startswith(f"{place}:endpoint-config/toy-config-")


def test_a_changed_model_is_replaced_and_the_endpoint_moves_over_in_place(stack: Stack) -> None:
    before, sagemaker = stack.outputs(), stack.cloud.client("sagemaker")
    assert stack.toy() == "one"

    stack.properties("Model")["PrimaryContainer"]["Environment"]["TOY"] = "two"
    stack.update()

    after = stack.outputs()
    assert stack.toy() == "two"
    assert after["Endpoint"] == before["Endpoint"]
    assert after["Model"] != before["Model"]
    assert after["Config"] != before["Config"]
    assert len(sagemaker.list_models()["Models"]) == 1
    assert len(sagemaker.list_endpoint_configs()["EndpointConfigs"]) == 1


def test_a_model_that_cannot_load_rolls_the_update_back_with_its_reason(stack: Stack) -> None:
    good = copy.deepcopy(stack.template)
    served = stack.toy()
    stack.properties("Model")["PrimaryContainer"]["Environment"]["TOY"] = "broken"

    with pytest.raises(WaiterError):
        stack.update()

    stack.template = good
    assert "FATAL: weights.txt is not a model" in stack.reasons()
    assert stack.toy() == served
    assert len(stack.cloud.client("sagemaker").list_models()["Models"]) == 1


def test_a_stacks_tags_reach_its_resources(stack: Stack) -> None:
    tags = stack.cloud.client("sagemaker").list_tags(ResourceArn=stack.outputs()["Endpoint"])
    assert {"Key": "aws:cloudformation:stack-name", "Value": "toy"} in tags["Tags"]


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
    stack: Stack, resource: str, change: dict[str, Any], message: str
) -> None:
    wrong = Stack(stack.cloud, "wrong")
    wrong.properties("Endpoint")["EndpointName"] = "wrong"
    wrong.properties(resource).update(change)

    with pytest.raises(WaiterError):
        wrong.create()

    import re

    assert re.search(message, wrong.reasons())
    wrong.delete()


def test_a_named_model_cannot_be_replaced(stack: Stack) -> None:
    named = Stack(stack.cloud, "named")
    del named.template["Resources"]["Endpoint"], named.template["Resources"]["Config"]
    del named.template["Outputs"]
    named.properties("Model")["ModelName"] = "fixed"
    named.create()
    named.properties("Model")["PrimaryContainer"]["Environment"]["TOY"] = "two"

    with pytest.raises(WaiterError):
        named.update()

    assert "custom-named resource requires replacing" in named.reasons()


WAITING: dict[str, Any] = {
    "Resources": {
        "Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
        "Ready": {
            "Type": "AWS::CloudFormation::WaitCondition",
            "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "600", "Count": 1},
        },
    }
}


def test_a_wait_under_way_is_seen_and_its_timeout_can_t_change(cloud: ChildCloud) -> None:
    """cloudformation-coverage-roadmap#1097: such a change has to be refused here too."""
    waiting = Stack(cloud, "waiting")
    waiting.template = copy.deepcopy(WAITING)
    cfn = waiting.cfn
    cfn.create_stack(StackName="waiting", TemplateBody=json.dumps(waiting.template))

    def status() -> str:
        found = cfn.describe_stack_resource(StackName="waiting", LogicalResourceId="Ready")
        return str(found["StackResourceDetail"]["ResourceStatus"])

    assert wait_for(status) == "CREATE_IN_PROGRESS"
    cfn.signal_resource(
        StackName="waiting", LogicalResourceId="Ready", UniqueId="1", Status="SUCCESS"
    )
    wait_for(lambda: status() == "CREATE_COMPLETE")

    for change in ({"Timeout": "700"}, {"Count": 2}):
        waiting.template = copy.deepcopy(WAITING)
        waiting.properties("Ready").update(change)
        with pytest.raises(WaiterError):
            waiting.update()
    assert "AWS::CloudFormation::WaitCondition is not supported" in waiting.reasons()


@pytest.mark.parametrize(("policy", "left"), [("Retain", 1), ("RetainExceptOnCreate", 0)])
def test_a_failed_creation_keeps_what_says_retain_unless_it_says_except_on_create(
    cloud: ChildCloud, policy: str, left: int
) -> None:
    s3 = cloud.client("s3")
    failing = Stack(cloud, policy.lower())
    failing.template = {
        "Resources": {
            "Kept": {
                "Type": "AWS::S3::Bucket",
                "DeletionPolicy": policy,
                "Properties": {"BucketName": f"kept-{policy.lower()}"},
            },
            "Wrong": {"Type": "AWS::SageMaker::Model", "DependsOn": "Kept"},
        }
    }
    with pytest.raises(WaiterError):
        failing.create()
    kept = [b["Name"] for b in s3.list_buckets()["Buckets"] if b["Name"].startswith("kept-r")]
    assert len(kept) == left
    for name in kept:
        s3.delete_bucket(Bucket=name)


def test_a_failed_creation_leaves_nothing(stack: Stack) -> None:
    failing = Stack(stack.cloud, "failing")
    failing.properties("Endpoint")["EndpointName"] = "failing"
    failing.properties("Model")["PrimaryContainer"]["Environment"]["TOY"] = "broken"

    with pytest.raises(WaiterError):
        failing.create()

    assert "FATAL: weights.txt is not a model" in failing.reasons()
    with pytest.raises(ClientError, match="Could not find endpoint"):
        stack.cloud.client("sagemaker").describe_endpoint(EndpointName="failing")


def test_a_deleted_stack_takes_everything_along(stack: Stack) -> None:
    other = Stack(stack.cloud, "other")
    other.properties("Endpoint")["EndpointName"] = "other"
    other.create()
    other.delete()

    sagemaker = stack.cloud.client("sagemaker")
    assert "other" not in [e["EndpointName"] for e in sagemaker.list_endpoints()["Endpoints"]]
    assert not sagemaker.list_models(NameContains="other")["Models"]
