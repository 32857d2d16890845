"""What CloudFormation puts in a template's Refs and attributes: values of the right form and the
greatest length they may get, so that lengths and patterns of what holds them can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ACCOUNT = "123456789012"
HEX = "0123456789abcdef0"
"""What EC2's ids end in."""
RANDOM = "AbCdEfGhIj12"
"""What CloudFormation ends a generated name in."""
WAIT_URL = (
    "https://cloudformation-waitcondition-{region}.s3.{region}.{suffix}/"
    "arn%3Aaws%3Acloudformation%3A{region}%3A{account}%3Astack/{stack}/"
    "01234567-89ab-cdef-0123-456789abcdef/{logical}?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Date=20260101T000000Z&X-Amz-SignedHeaders=host&X-Amz-Expires=86399"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260101%2F{region}%2Fs3%2Faws4_request"
    "&X-Amz-Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)


@dataclass(frozen=True)
class Identity:
    """`ref` and `attributes` may use {name}, {stack}, {logical}, {region}, {account} and {suffix},
    attributes also {ref}."""

    ref: str = "{name}"
    attributes: Mapping[str, str] = field(default_factory=dict)
    longest: int = 255
    """A generated name is cut to so many characters."""
    named_by: str = ""
    """The property that gives the name instead."""
    lower: bool = False


def _sagemaker(kind: str, named_by: str) -> Identity:
    # CreateModel &c.: names of at most 63 characters.
    return Identity(
        f"arn:aws:sagemaker:{{region}}:{{account}}:{kind}/{{name}}",
        {named_by: "{name}"},
        63,
        named_by,
    )


def _with_arn(named_by: str, service: str, resource: str, longest: int = 255) -> Identity:
    arn = f"arn:aws:{service}:{{region}}:{{account}}:{resource}"
    return Identity(attributes={"Arn": arn}, longest=longest, named_by=named_by)


# Each type's page in the template reference: "Return values", and the name's property; lengths are
# those of botocore's models and, for Lambda, docs.aws.amazon.com/lambda/latest/dg/
# gettingstarted-limits.html.
IDENTITIES = {
    "AWS::ApiGateway::ApiKey": Identity("a1b2c3d4e5"),
    "AWS::ApiGateway::Authorizer": Identity("a1b2c3"),
    "AWS::ApiGateway::Deployment": Identity("a1b2c3"),
    "AWS::ApiGateway::Resource": Identity("a1b2c3"),
    "AWS::ApiGateway::RestApi": Identity("a1b2c3d4e5", {"RootResourceId": "a1b2c3d4e5"}),
    "AWS::ApiGateway::Stage": Identity(named_by="StageName"),
    "AWS::ApiGateway::UsagePlan": Identity("a1b2c3", named_by="UsagePlanName"),
    "AWS::ApplicationAutoScaling::ScalingPolicy": Identity(
        "arn:aws:autoscaling:{region}:{account}:scalingPolicy:01234567-89ab-cdef-0123-456789abcdef:"
        "resource/sagemaker/endpoint/{stack}/variant/main:policyName/{name}",
        named_by="PolicyName",
    ),
    "AWS::CloudFormation::WaitConditionHandle": Identity(WAIT_URL),
    "AWS::CloudWatch::Alarm": _with_arn("AlarmName", "cloudwatch", "alarm:{name}"),
    "AWS::CodeBuild::Project": _with_arn("Name", "codebuild", "project/{name}", 150),
    "AWS::Cognito::UserPool": Identity(
        "{region}_AbCdEfGhI",
        {"Arn": "arn:aws:cognito-idp:{region}:{account}:userpool/{ref}"},
    ),
    "AWS::Cognito::UserPoolClient": Identity("1h57kf5cpq17m0eml12EXAMPLE"),
    "AWS::Cognito::UserPoolDomain": Identity(named_by="Domain"),
    "AWS::DynamoDB::Table": Identity(
        attributes={
            "Arn": "arn:aws:dynamodb:{region}:{account}:table/{name}",
            # Its label is a time, at whose colons parliament would take the ARN apart.
            "StreamArn": "arn:aws:dynamodb:{region}:{account}:table/{name}/stream/2026-01-01",
        },
        named_by="TableName",
    ),
    "AWS::EC2::FlowLog": Identity("fl-" + HEX),
    "AWS::EC2::RouteTable": Identity("rtb-" + HEX),
    "AWS::EC2::SecurityGroup": Identity("sg-" + HEX, {"GroupId": "{ref}"}, named_by="GroupName"),
    "AWS::EC2::Subnet": Identity("subnet-" + HEX),
    "AWS::EC2::SubnetRouteTableAssociation": Identity("rtbassoc-" + HEX),
    "AWS::EC2::VPC": Identity("vpc-" + HEX),
    "AWS::EC2::VPCEndpoint": Identity("vpce-" + HEX),
    "AWS::ECR::Repository": Identity(
        attributes={"Arn": "arn:aws:ecr:{region}:{account}:repository/{name}"},
        longest=256,
        named_by="RepositoryName",
        lower=True,
    ),
    "AWS::ECS::ExpressGatewayService": Identity(
        "arn:aws:ecs:{region}:{account}:service/default/{name}",
        # Two letters of the name, then as many as UUIDs have.
        {"Endpoint": "sd-0123456789abcdef0123456789abcdef.ecs.{region}.on.aws"},
        named_by="ServiceName",
    ),
    "AWS::Events::Rule": _with_arn("Name", "events", "rule/{name}", 64),
    "AWS::IAM::Role": Identity(
        attributes={"Arn": "arn:aws:iam::{account}:role/{name}"}, longest=64, named_by="RoleName"
    ),
    "AWS::KMS::Key": Identity(
        "01234567-89ab-cdef-0123-456789abcdef",
        {"Arn": "arn:aws:kms:{region}:{account}:key/{ref}"},
    ),
    "AWS::Lambda::Function": _with_arn("FunctionName", "lambda", "function:{name}", 64),
    "AWS::Lambda::LayerVersion": Identity(
        "arn:aws:lambda:{region}:{account}:layer:{name}:1", longest=140, named_by="LayerName"
    ),
    # AddPermission wants an id, for which a template has no property.
    "AWS::Lambda::Permission": Identity(longest=100, named_by="StatementId"),
    "AWS::Logs::LogGroup": _with_arn("LogGroupName", "logs", "log-group:{name}:*", 512),
    "AWS::S3::Bucket": Identity(
        attributes={"Arn": "arn:aws:s3:::{name}"}, longest=63, named_by="BucketName", lower=True
    ),
    "AWS::S3Vectors::Index": Identity(
        "arn:aws:s3vectors:{region}:{account}:bucket/vectors/index/{name}",
        {"IndexArn": "{ref}"},
        63,
        "IndexName",
    ),
    "AWS::S3Vectors::VectorBucket": Identity(
        "arn:aws:s3vectors:{region}:{account}:bucket/{name}",
        {"VectorBucketArn": "{ref}"},
        63,
        "VectorBucketName",
        lower=True,
    ),
    "AWS::SNS::Topic": Identity(
        "arn:aws:sns:{region}:{account}:{name}", longest=256, named_by="TopicName"
    ),
    "AWS::SQS::Queue": Identity(
        "https://sqs.{region}.{suffix}/{account}/{name}",
        {"Arn": "arn:aws:sqs:{region}:{account}:{name}", "QueueName": "{name}"},
        80,
        "QueueName",
    ),
    "AWS::Scheduler::Schedule": Identity(longest=64, named_by="Name"),
    "AWS::SSM::Parameter": Identity(longest=2048, named_by="Name"),
    "AWS::SageMaker::Endpoint": _sagemaker("endpoint", "EndpointName"),
    "AWS::SageMaker::EndpointConfig": _sagemaker("endpoint-config", "EndpointConfigName"),
    "AWS::SageMaker::Model": _sagemaker("model", "ModelName"),
    "AWS::SecretsManager::Secret": Identity(
        "arn:aws:secretsmanager:{region}:{account}:secret:{name}-AbCdEf", named_by="Name"
    ),
    "AWS::WAFv2::WebACL": Identity(
        "{name}|01234567-89ab-cdef-0123-456789abcdef|REGIONAL",
        {
            "Arn": "arn:aws:wafv2:{region}:{account}:regional/webacl/{name}/"
            "01234567-89ab-cdef-0123-456789abcdef"
        },
        128,
        "Name",
    ),
}
CUSTOM_REF, CUSTOM_ATTRIBUTE = "{stack}-{logical}-" + RANDOM, "x" * 700
"""A custom resource may answer what it likes. Ours give a JSON object of up to 700 characters: what
a variant's registration carries under `built`."""


def generated_name(stack: str, logical_id: str, longest: int = 255, *, lower: bool = False) -> str:
    """<stack>-<logical id>-<12 random>; what is too long is taken from both alike
    (aws-cloudformation/cloudformation-cli-python-plugin, identifier_utils.py)."""
    free = longest - len(RANDOM) - 2
    of_stack = min(len(stack), max(free // 2, free - len(logical_id)))
    name = f"{stack[:of_stack]}-{logical_id[: free - of_stack]}-{RANDOM}"
    return name.lower() if lower else name


class PhysicalValues:
    """One account's and region's values for a whole app's templates, by stack name.

    `known` is what is known better, by stack and what Ref takes."""

    def __init__(
        self,
        templates: Mapping[str, Mapping[str, Any]],
        region: str,
        known: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        self._templates = templates
        self._known = {} if known is None else known
        self._place = {"region": region, "account": ACCOUNT, "suffix": "amazonaws.com"}
        self._exports = {
            export["Name"]: (stack, output["Value"])
            for stack, template in templates.items()
            for output in template.get("Outputs", {}).values()
            if (export := output.get("Export"))
        }

    def properties(self, stack: str, logical_id: str) -> dict[str, Any]:
        """The resource's, with nothing left to fill in."""
        given = self._templates[stack]["Resources"][logical_id].get("Properties", {})
        filled: dict[str, Any] = self.fill(stack, given)
        return filled

    def name(self, stack: str, logical_id: str) -> str:
        """What the resource is called: its own name property, or a generated one."""
        resource = self._templates[stack]["Resources"][logical_id]
        identity = _identity(resource["Type"])
        given = resource.get("Properties", {}).get(identity.named_by)
        if given is not None:
            return str(self.fill(stack, given))
        known = self._known.get((stack, logical_id))
        if known and identity.ref == "{name}":
            return known
        if known and identity.ref.endswith("/{name}"):  # an ARN or URL
            return known.rpartition("/")[2]
        # CloudFormation's name of a FIFO queue ends as it has to.
        end = ".fifo" if resource.get("Properties", {}).get("FifoQueue") else ""
        longest = identity.longest - len(end)
        return generated_name(stack, logical_id, longest, lower=identity.lower) + end

    def fill(self, stack: str, value: Any) -> Any:
        """The value with every function of CloudFormation's carried out."""
        if isinstance(value, list):
            return [self.fill(stack, item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._call(stack, function, argument)
        return {name: self.fill(stack, item) for name, item in value.items()}

    def _call(self, stack: str, function: str, argument: Any) -> Any:
        if function == "Ref":
            return self._ref(stack, argument)
        if function == "Fn::GetAtt":
            return self._attribute(stack, *argument)
        if function == "Fn::ImportValue":
            return self.fill(*self._exports[argument])
        if function == "Fn::Join":
            separator, parts = argument
            return str(separator).join(map(str, self.fill(stack, parts)))
        if function == "Fn::GetAZs":
            return [f"{self._place['region']}{letter}" for letter in "abc"]
        if function == "Fn::Split":
            separator, text = argument
            return self.fill(stack, text).split(separator)
        if function == "Fn::Select":
            index, items = argument
            return self.fill(stack, items)[int(index)]
        if function == "Fn::Sub":
            return re.sub(r"\$\{([\w:]+)\}", lambda found: self._ref(stack, found[1]), argument)
        raise ValueError(f"{function} isn't known here: add it to {__name__}")

    def _ref(self, stack: str, name: str) -> Any:
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::Region": self._place["region"],
            "AWS::StackId": f"arn:aws:cloudformation:{self._place['region']}:{ACCOUNT}:stack/"
            f"{stack}/01234567-89ab-cdef-0123-456789abcdef",
            "AWS::URLSuffix": self._place["suffix"],
        }
        if (stack, name) in self._known:
            return self._known[stack, name]
        if name in pseudo:
            return pseudo[name]
        return self._form(
            stack, name, _identity(self._templates[stack]["Resources"][name]["Type"]).ref
        )

    def _attribute(self, stack: str, logical_id: str, attribute: str) -> str:
        kind = self._templates[stack]["Resources"][logical_id]["Type"]
        if kind.startswith("Custom::"):
            return CUSTOM_ATTRIBUTE
        identity = _identity(kind)
        if attribute not in identity.attributes:
            raise ValueError(f"{kind} has no attribute {attribute} here: add it to {__name__}")
        return self._form(stack, logical_id, identity.attributes[attribute])

    def _form(self, stack: str, logical_id: str, form: str) -> str:
        name = self.name(stack, logical_id) if "{name}" in form else ""
        ref = self._ref(stack, logical_id) if "{ref}" in form else ""
        return form.format(**self._place, name=name, ref=ref, stack=stack, logical=logical_id)


def _identity(kind: str) -> Identity:
    if kind.startswith("Custom::"):
        return Identity(CUSTOM_REF)
    if kind not in IDENTITIES:
        raise ValueError(f"what Ref gives for {kind} isn't known here: add it to {__name__}")
    return IDENTITIES[kind]
