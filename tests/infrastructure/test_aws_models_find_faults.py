"""That the checks of test_aws_models.py would find a fault: each is planted, and found."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from local_cloud.api_shapes import BadRequest
from tests.infrastructure.botocore_shapes import requests_for
from tests.infrastructure.physical_values import PhysicalValues, generated_name
from tests.infrastructure.service_limits import template_limits_exceeded
from tests.infrastructure.support import Synthesized
from tests.infrastructure.template_problems import problems
from tests.infrastructure.test_aws_models import cfn_lint

Templates = dict[str, dict[str, Any]]

LONG = "x" * 10_000
FAULTS: list[tuple[str, str, Any, str]] = [
    ("AWS::SageMaker::Endpoint", "EndpointName", "e" * 64, "length less than or equal to 63"),
    ("AWS::SageMaker::Endpoint", "DeploymentConfig/BlueGreenUpdatePolicy/TerminationWaitInSeconds",
     7200, "value less than or equal to 3600"),
    ("AWS::SageMaker::EndpointConfig", "ProductionVariants/0/InstanceType",
     "ml.g5.huge", "enum value set"),
    ("AWS::SageMaker::EndpointConfig",
     "ProductionVariants/0/ContainerStartupHealthCheckTimeoutInSeconds", 30,
      "greater than or equal to 60"),
    ("AWS::SageMaker::EndpointConfig", "ProductionVariants/0/RoutingConfig/RoutingStrateg",
     "RANDOM", "extraneous key [RoutingStrateg]"),
    ("AWS::SageMaker::Model", "PrimaryContainer/Environment/SD_SIZES",
     "x" * 1025, "length less than or equal to 1024"),
    ("AWS::SageMaker::Model", "PrimaryContainer/Environment/SD-SIZES", "x", "map key"),
    ("AWS::SageMaker::Model", "PrimaryContainer/Environment",
     {f"E{number}": "" for number in range(101)}, "length less than or equal to 100"),
    ("AWS::CodeBuild::Project", "Environment/ComputeType", "BUILD_HUGE", "enum value set"),
    ("AWS::CodeBuild::Project", "Source/BuildSpec", "x" * 25_601, "25601 is not from"),
    ("AWS::CodeBuild::Project", "Environment/EnvironmentVariables/0/Value",
     "x" * 4097, "4097 is not from"),
    ("AWS::Lambda::Function", "Timeout", 901, "901 is not from 1 to 900"),
    ("AWS::Lambda::Function", "MemorySiz", 256, "extraneous key [MemorySiz]"),
    ("AWS::Lambda::Function", "FunctionName", "x" * 65, "65 is not from 1 to 64"),
    ("AWS::Lambda::Function", "Environment", {"Variables": {"A1": LONG}}, "from 0 to 4096"),
    ("AWS::Lambda::Permission", "Action", "invoke function", "regular expression pattern"),
    ("AWS::ApiGateway::GatewayResponse", "ResponseType", "DEFAULT_4_XX", "enum value set"),
    ("AWS::ApiGateway::Method", "Integration/Timeout", 1, "extraneous key [Timeout]"),
    ("AWS::ApiGateway::Method", "Integration/TimeoutInMillis", 30_000, "30000 is not from"),
    ("AWS::ApiGateway::RestApi", "EndpointConfiguration/Types/0", "LOCAL", "enum value set"),
    ("AWS::ApiGateway::Stage", "MethodSettings", [{"Log": "ERROR"}], "extraneous key [Log]"),
    ("AWS::ApiGateway::Stage", "AccessLogSetting", {"Format": LONG}, "10000 is not from"),
    ("AWS::ApiGateway::UsagePlan", "Quota/Limit", "many", "must be a number"),
    ("AWS::ApiGateway::ApiKey", "StageKeys/0/Stage", "v1", "extraneous key [Stage]"),
    ("AWS::KMS::Key", "Description", LONG, "less than or equal to 8192"),
    ("AWS::Logs::LogGroup", "LogGroupName", "a group", "regular expression pattern"),
    ("AWS::Logs::LogGroup", "RetentionInDays", "a month", "must be a number"),
    ("AWS::SSM::Parameter", "Description", LONG, "less than or equal to 1024"),
    ("AWS::SSM::Parameter", "Value", "x" * 4097, "4097 is not from"),
    ("AWS::ECR::Repository", "ImageTagMutability", "FIXED", "enum value set"),
    ("AWS::ECR::Repository", "LifecyclePolicy/LifecyclePolicyText", "{}", "equal to 100"),
    ("AWS::S3::Bucket", "OwnershipControls/Rules/0/ObjectOwnership", "Mine", "enum value set"),
    ("AWS::S3::Bucket", "LifecycleConfiguration/Rules/0/Days", 1, "extraneous key [Days]"),
    ("AWS::S3::BucketPolicy", "PolicyDocument/Statement/0/Sid", "x" * 20_480, "is not from"),
    ("AWS::Events::Rule", "EventPattern/x", LONG, "less than or equal to 4096"),
    ("AWS::Events::Rule", "Targets/0/RetryPolicy", {"MaximumRetryAttempts": 186}, "equal to 185"),
    ("AWS::CloudWatch::Alarm", "EvaluationPeriods", 0, "greater than or equal to 1"),
    ("AWS::IAM::Role", "RoleName", "x" * 65, "less than or equal to 64"),
    ("AWS::IAM::Role", "AssumeRolePolicyDocument/Id", LONG, "is not from 1 to 2048"),
    ("AWS::IAM::Policy", "PolicyDocument/Id", LONG + "y" * 240, "inline policies have"),
    ("AWS::CloudFormation::WaitCondition", "Timeout", "43201", "43201 is not from 0 to 43200"),
    ("Custom::BuildStep", "ServiceTimeout", "3601", "3601 is not from 1 to 3600"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "path", "value", "rule"),
    [
        ("AWS::Lambda::Function", "Runtime", "python3.6", "E2533"),
        ("AWS::Lambda::Function", "Timeout", 901, "E3717"),
        ("AWS::Lambda::Function", "Role", {"Fn::GetAtt": ["Nowhere", "Arn"]}, "E1010"),
    ],
)
def test_cfn_lint_finds(
    kind: str, path: str, value: Any, rule: str, aws: Synthesized, tmp_path: Path
) -> None:
    stack = "SdArtifactsStack"
    templates = planted({stack: aws.templates[stack]}, kind, path, value)
    file = tmp_path / f"{stack}.template.json"
    file.write_text(json.dumps(templates[stack]))
    found = cfn_lint([file], "us-east-1")
    assert [each for each in found if f"[{rule}:" in each], found


def planted(templates: Templates, kind: str, path: str, value: Any) -> Templates:
    """A copy of the templates with the value put into every resource of the type that has what
    `path` begins with."""
    changed = copy.deepcopy(templates)
    for template in changed.values():
        for resource in template["Resources"].values():
            first, *deeper = path.split("/")
            has_it = not deeper or first in resource.get("Properties", ())
            if resource["Type"] == kind and has_it:
                *outer, last = path.split("/")
                place = resource["Properties"]
                for name in outer:
                    place = place[int(name) if name.isdigit() else name]
                place[int(last) if last.isdigit() else last] = value
    return changed


@pytest.mark.parametrize(
    ("kind", "path", "value", "said"), FAULTS, ids=[f"{f[0]} {f[1]} {f[3]}" for f in FAULTS]
)
def test_a_fault_in(aws: Synthesized, kind: str, path: str, value: Any, said: str) -> None:
    found = list(problems(planted(aws.templates, kind, path, value), "us-east-1"))
    assert [each for each in found if said in each]
    about_it = [each for each in found if f"({kind})" in each]
    assert all(said in each for each in about_it), about_it


def test_a_generated_name_that_makes_something_else_too_long(aws: Synthesized) -> None:
    """The names of its stack and id make a repository's, and that an image's address: 255."""
    logical_id = next(
        logical_id
        for logical_id, resource in aws.templates["SdStorageStack"]["Resources"].items()
        if resource["Type"] == "AWS::ECR::Repository"
    )
    text = json.dumps(aws.templates).replace(logical_id, f"{logical_id}{'R' * 160}")
    found = list(problems(json.loads(text), "us-east-1"))
    assert found
    assert all("(AWS::SageMaker::Model)" in each for each in found), found
    assert all("at 'primaryContainer.image'" in each for each in found), found


def test_generated_names_are_cut_to_what_their_type_may_have() -> None:
    assert generated_name("Stack", "Role") == "Stack-Role-AbCdEfGhIj12"
    assert generated_name("S" * 60, "R" * 60, 64) == f"{'S' * 25}-{'R' * 25}-AbCdEfGhIj12"
    assert generated_name("S" * 60, "Role", 64) == f"{'S' * 46}-Role-AbCdEfGhIj12"
    assert generated_name("Stack", "R" * 60, 64) == f"Stack-{'R' * 45}-AbCdEfGhIj12"
    assert generated_name("Stack", "Bucket", 63, lower=True) == "stack-bucket-abcdefghij12"


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        ({"Type": "AWS::Kinesis::Stream"}, "AWS::Kinesis::Stream: no operation is known here"),
        (
            {"Type": "AWS::Lambda::Function", "Properties": {"VpcLattice": "x"}},
            "extraneous key [VpcLattice] is not permitted",
        ),
    ],
)
def test_what_is_not_known_here_is_an_error(resource: dict[str, Any], said: str) -> None:
    (found,) = problems({"Stack": {"Resources": {"New": resource}}}, "us-east-1")
    assert said in found


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"Fn::Base64": "x"}, "Fn::Base64 isn't known here"),
        ({"Fn::GetAtt": ["Role", "Ar"]}, "AWS::IAM::Role has no attribute Ar here"),
        ({"Ref": "Topic"}, "what Ref gives for AWS::Kinesis::Stream isn't known here"),
    ],
)
def test_what_cannot_be_filled_in_is_an_error(value: dict[str, Any], said: str) -> None:
    resources = {"Role": {"Type": "AWS::IAM::Role"}, "Topic": {"Type": "AWS::Kinesis::Stream"}}
    with pytest.raises(ValueError, match=said):
        PhysicalValues({"Stack": {"Resources": resources}}, "us-east-1").fill("Stack", value)


def test_a_queue_s_properties_are_its_attributes() -> None:
    redrive = {"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:dead"}
    properties = {"VisibilityTimeout": 30, "SqsManagedSseEnabled": True, "RedrivePolicy": redrive}
    (request,) = requests_for("AWS::SQS::Queue", properties, "Queue")
    request.check()
    assert request.value == {
        "QueueName": "Queue",
        "Attributes": {
            "VisibilityTimeout": "30",
            "SqsManagedSseEnabled": "true",
            "RedrivePolicy": json.dumps(redrive),
        },
    }
    (request,) = requests_for("AWS::SQS::Queue", {"VisibilityTime": 30}, "Queue")
    with pytest.raises(BadRequest, match="'VisibilityTime' at 'attributes map key'"):
        request.check()


def test_a_queue_policy_goes_to_each_of_its_queues() -> None:
    properties = {"Queues": ["https://one", "https://two"], "PolicyDocument": {"Id": "x"}}
    requests = requests_for("AWS::SQS::QueuePolicy", properties, "")
    assert [request.value for request in requests] == [
        {"QueueUrl": url, "Attributes": {"Policy": '{"Id":"x"}'}}
        for url in ("https://one", "https://two")
    ]


def test_cloudformation_s_own_limits() -> None:
    template = {
        "Resources": {f"R{number}": {"Type": "T"} for number in range(501)},
        "Outputs": {
            **{f"O{number}": {"Value": "x" * 5300} for number in range(200)},
            "O" * 256: {"Value": "", "Export": {"Name": "e" * 256}},
        },
        "Parameters": {f"P{number}": {} for number in range(201)},
        "Description": "x" * 1025,
    }
    found = list(template_limits_exceeded("a_stack", template))
    assert [each.removeprefix("a_stack: ") for each in found] == [
        f"{len(json.dumps(template))} bytes, at most 1048576",
        "501 resources, at most 500",
        "201 outputs, at most 200",
        "201 parameters, at most 200",
        "1025 bytes of the description, at most 1024",
        f"the name {'O' * 256} has 256 characters, at most 255",
        f"the name {'e' * 256} has 256 characters, at most 255",
        "a stack can't be named so",
    ]
