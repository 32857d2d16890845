"""Limits that AWS states, or shows, elsewhere than in its service models: each once, with its
source."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.infrastructure.physical_values import PhysicalValues

Properties = Mapping[str, Any]


@dataclass(frozen=True)
class Limit:
    """`of` gives the amounts, none where a resource hasn't got such a thing."""

    kind: str
    what: str
    of: Callable[[Properties], list[float]]
    least: float
    most: float
    source: str


def _number(*path: str) -> Callable[[Properties], list[float]]:
    def of(properties: Properties) -> list[float]:
        value: Any = properties
        for name in path:
            value = (value or {}).get(name)
        return [] if value is None else [float(value)]

    return of


def _length(*path: str) -> Callable[[Properties], list[float]]:
    def of(properties: Properties) -> list[float]:
        value: Any = properties
        for name in path:
            value = (value or {}).get(name)
        if value is None:
            return []
        return [len(value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))]

    return of


def _lambda_environment(properties: Properties) -> list[float]:
    variables = properties.get("Environment", {}).get("Variables", {})
    return [len(json.dumps(variables).encode())]


def _build_values(properties: Properties) -> list[float]:
    variables = properties["Environment"].get("EnvironmentVariables", [])
    return [len(each["Value"]) for each in variables]


def _without_whitespace(document: Any) -> int:
    return len(re.sub(r"\s", "", json.dumps(document)))


_CFN = "docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide"
_LAMBDA = "docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
_GATEWAY = "docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html"  # noqa: E501
_IAM = "docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"

LIMITS = (
    Limit(
        "AWS::ApiGateway::Method",
        "Integration/TimeoutInMillis",
        _number("Integration", "TimeoutInMillis"),
        50,
        29_000,
        _GATEWAY,
    ),
    Limit(
        "AWS::ApiGateway::Stage",
        "characters of AccessLogSetting/Format",
        _length("AccessLogSetting", "Format"),
        1,
        3072,
        _GATEWAY.replace("api-gateway-execution-service-limits-table", "http-api-quotas"),
    ),
    Limit(
        "AWS::CloudFormation::WaitCondition",
        "Timeout",
        _number("Timeout"),
        0,
        43_200,
        f"{_CFN}/aws-resource-cloudformation-waitcondition.html",
    ),
    Limit(
        "Custom::",
        "ServiceTimeout",
        _number("ServiceTimeout"),
        1,
        3600,
        f"{_CFN}/aws-resource-cloudformation-customresource.html",
    ),
    Limit(
        "AWS::CodeBuild::Project",
        "characters of Source/BuildSpec",
        _length("Source", "BuildSpec"),
        1,
        25_600,
        "aws/aws-cdk#14974",
    ),
    Limit(
        "AWS::CodeBuild::Project",
        "characters of one of Environment/EnvironmentVariables",
        _build_values,
        0,
        4096,
        "wolfeidau/buildkite-serverless-agent#35: 'EnvironmentVariable should be at most 4096'",
    ),
    Limit(
        "AWS::Events::Rule",
        "Targets",
        lambda properties: [len(properties.get("Targets", []))],
        0,
        5,
        "docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html",
    ),
    Limit(
        "AWS::IAM::Role",
        "characters of AssumeRolePolicyDocument",
        lambda properties: [_without_whitespace(properties["AssumeRolePolicyDocument"])],
        1,
        2048,
        _IAM,
    ),
    Limit(
        "AWS::IAM::Role",
        "ManagedPolicyArns",
        lambda properties: [len(properties.get("ManagedPolicyArns", []))],
        0,
        10,
        _IAM,
    ),
    Limit(
        "AWS::KMS::Key",
        "characters of KeyPolicy",
        _length("KeyPolicy"),
        1,
        32_768,
        "docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html",
    ),
    # The service model allows the 90 minutes and 32 GB of managed instances.
    Limit("AWS::Lambda::Function", "Timeout", _number("Timeout"), 1, 900, _LAMBDA),
    Limit("AWS::Lambda::Function", "MemorySize", _number("MemorySize"), 128, 10_240, _LAMBDA),
    Limit(
        "AWS::Lambda::Function", "bytes of Environment", _lambda_environment, 0, 4096, _LAMBDA
    ),
    Limit(
        "AWS::Lambda::Function", "characters of FunctionName", _length("FunctionName"), 1, 64,
        _LAMBDA,
    ),
    Limit(
        "AWS::S3::BucketPolicy",
        "bytes of PolicyDocument",
        _length("PolicyDocument"),
        1,
        20_480,
        "docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html",
    ),
    Limit(
        "AWS::S3::Bucket",
        "characters of BucketName",
        _length("BucketName"),
        3,
        63,
        "docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html",
    ),
    # A standard parameter's; advanced ones hold 8 KB and cost by the month.
    Limit(
        "AWS::SSM::Parameter",
        "characters of Value",
        _length("Value"),
        1,
        4096,
        "docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html",
    ),
)  # fmt: skip
OF_A_ROLE = 10_240
"""Characters of all inline policies of a role together, whitespace not counted (IAM quotas)."""

# cloudformation-limits.html
TEMPLATE_BYTES, RESOURCES, OUTPUTS, PARAMETERS, NAME = 1_048_576, 500, 200, 200, 255
DESCRIPTION_BYTES = 1024
STACK_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")  # CreateStack, StackName


def limits_exceeded(kind: str, properties: Properties) -> Iterator[str]:
    """What is said against one resource."""
    for limit in LIMITS:
        if kind == limit.kind or (limit.kind.endswith("::") and kind.startswith(limit.kind)):
            for amount in limit.of(properties):
                if not limit.least <= amount <= limit.most:
                    yield (
                        f"{limit.what}: {amount:g} is not from {limit.least:g} to {limit.most:g} "
                        f"({limit.source})"
                    )


def template_limits_exceeded(stack: str, template: Mapping[str, Any]) -> Iterator[str]:
    """What CloudFormation itself says against a template."""
    outputs = template.get("Outputs", {})
    counted = {
        "bytes": (len(json.dumps(template).encode()), TEMPLATE_BYTES),
        "resources": (len(template["Resources"]), RESOURCES),
        "outputs": (len(outputs), OUTPUTS),
        "parameters": (len(template.get("Parameters", {})), PARAMETERS),
        "bytes of the description": (
            len(template.get("Description", "").encode()),
            DESCRIPTION_BYTES,
        ),
    }
    for what, (amount, most) in counted.items():
        if amount > most:
            yield f"{stack}: {amount} {what}, at most {most}"
    names = [*template["Resources"], *outputs]
    names += [each["Export"]["Name"] for each in outputs.values() if "Export" in each]
    for name in names:
        if len(name) > NAME:
            yield f"{stack}: the name {name} has {len(name)} characters, at most {NAME}"
    if not STACK_NAME.fullmatch(stack):
        yield f"{stack}: a stack can't be named so"


def role_policies_exceeded(
    templates: Mapping[str, Mapping[str, Any]], values: PhysicalValues
) -> Iterator[str]:
    """Roles whose inline policies are too long together, wherever the policies stand."""
    sizes: dict[str, int] = defaultdict(int)
    for stack, template in templates.items():
        for logical_id, resource in template["Resources"].items():
            if resource["Type"] == "AWS::IAM::Policy":
                properties = values.properties(stack, logical_id)
                for role in properties["Roles"]:
                    sizes[role] += _without_whitespace(properties["PolicyDocument"])
            elif resource["Type"] == "AWS::IAM::Role":
                for policy in values.properties(stack, logical_id).get("Policies", []):
                    role = values.name(stack, logical_id)
                    sizes[role] += _without_whitespace(policy["PolicyDocument"])
    for role, size in sizes.items():
        if size > OF_A_ROLE:
            yield f"{role}: its inline policies have {size} characters, at most {OF_A_ROLE}"
