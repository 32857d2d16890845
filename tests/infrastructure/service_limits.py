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
    """Of a number at `path`, or of what `counted` makes of a value there; a resource without one
    keeps it. Both ends of the range belong to it."""

    kind: str
    path: str
    least: float
    most: float
    source: str
    counted: Callable[[Any], Any] = float

    def amounts(self, properties: Properties) -> list[float]:
        value: Any = properties
        for name in filter(None, self.path.split("/")):
            value = (value or {}).get(name)
        found = [] if value is None else self.counted(value)
        return found if isinstance(found, list) else [found]


def characters(value: Any) -> int:
    return len(value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))


def _of_each_value(variables: Any) -> list[int]:
    return [len(each["Value"]) for each in variables]


def _without_whitespace(document: Any) -> int:
    return len(re.sub(r"\s", "", json.dumps(document)))


def _refused_by_ec2(described: Any) -> list[int]:
    """Characters, of a description or those of rules."""
    texts = described if isinstance(described, str) else [r.get("Description") for r in described]
    texts = [texts] if isinstance(texts, str) else texts
    return [len(re.findall(r"[^a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]", text or "")) for text in texts]


_CFN = "docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-cloudformation-"
_LAMBDA = "docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
_GATEWAY = "docs.aws.amazon.com/apigateway/latest/developerguide/"
_IAM = "docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"
_GROUP = "docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html"
_S3 = "docs.aws.amazon.com/AmazonS3/latest/userguide/"

LIMITS = (
    Limit("AWS::ApiGateway::Method", "Integration/TimeoutInMillis", 50, 29_000,
          f"{_GATEWAY}api-gateway-execution-service-limits-table.html"),
    Limit("AWS::ApiGateway::Stage", "AccessLogSetting/Format", 1, 3072,
          f"{_GATEWAY}http-api-quotas.html", characters),
    Limit("AWS::CloudFormation::WaitCondition", "Timeout", 0, 43_200, f"{_CFN}waitcondition.html"),
    Limit("Custom::", "ServiceTimeout", 1, 3600, f"{_CFN}customresource.html"),
    Limit("AWS::CodeBuild::Project", "Source/BuildSpec", 1, 25_600, "aws/aws-cdk#14974",
          characters),
    Limit("AWS::CodeBuild::Project", "Environment/EnvironmentVariables", 0, 4096,
          "wolfeidau/buildkite-serverless-agent#35: 'EnvironmentVariable should be at most 4096'",
          _of_each_value),
    Limit("AWS::EC2::SecurityGroup", "GroupDescription", 0, 0, _GROUP, _refused_by_ec2),
    Limit("AWS::EC2::SecurityGroup", "SecurityGroupEgress", 0, 0, _GROUP, _refused_by_ec2),
    Limit("AWS::EC2::SecurityGroupIngress", "Description", 0, 0, _GROUP, _refused_by_ec2),
    Limit("AWS::Events::Rule", "Targets", 0, 5,
          "docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html", len),
    Limit("AWS::IAM::Role", "AssumeRolePolicyDocument", 1, 2048, _IAM, _without_whitespace),
    Limit("AWS::IAM::Role", "ManagedPolicyArns", 0, 10, _IAM, len),
    Limit("AWS::KMS::Key", "KeyPolicy", 1, 32_768,
          "docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html", characters),
    # The service model allows the 90 minutes and 32 GB of managed instances.
    Limit("AWS::Lambda::Function", "Timeout", 1, 900, _LAMBDA),
    Limit("AWS::Lambda::Function", "MemorySize", 128, 10_240, _LAMBDA),
    Limit("AWS::Lambda::Function", "Environment/Variables", 0, 4096, _LAMBDA,
          lambda variables: len(json.dumps(variables).encode())),
    Limit("AWS::Lambda::Function", "FunctionName", 1, 64, _LAMBDA, characters),
    Limit("AWS::S3::BucketPolicy", "PolicyDocument", 1, 20_480, f"{_S3}bucket-policies.html",
          characters),
    Limit("AWS::S3::Bucket", "BucketName", 3, 63, f"{_S3}bucketnamingrules.html", characters),
    # A standard parameter's; advanced ones hold 8 KB and cost by the month.
    Limit("AWS::SSM::Parameter", "Value", 1, 4096, "docs.aws.amazon.com/systems-manager/latest/"
          "userguide/parameter-store-advanced-parameters.html", characters),
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
            for amount in limit.amounts(properties):
                if not limit.least <= amount <= limit.most:
                    allowed = f"from {limit.least:g} to {limit.most:g} ({limit.source})"
                    yield f"{limit.path}: {amount:g} is not {allowed}"


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
    for role, size in sizes.items():
        if size > OF_A_ROLE:
            yield f"{role}: its inline policies have {size} characters, at most {OF_A_ROLE}"
