"""How to ask an emulator (or AWS) for what a request has made, and how the answer differs from it.

The answers have the members that the requests had: what was asked must be in what is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from tests.infrastructure.botocore_shapes import Request

REF, NAME = "the resource's physical id", "what follows the last slash in it"


@dataclass(frozen=True)
class Read:
    """`by`: the reading operation's members, by those of the request, or `REF` or `NAME`; `found`:
    where the answer has the thing; `under`: the member that it is compared with ("" for all)."""

    operation: str
    by: Mapping[str, str]
    found: str = ""
    under: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict)


def _same(operation: str, *members: str, found: str = "", under: str = "") -> tuple[Read, ...]:
    return (Read(operation, {member: member for member in members}, found, under),)


def _queue(url: str) -> Read:
    every = {"AttributeNames": ["All"]}
    return Read("GetQueueAttributes", {"QueueUrl": url}, "Attributes", "Attributes", every)


_GROUP = Read("DescribeLogGroups", {"logGroupNamePrefix": "logGroupName"}, "logGroups/0")
READS: dict[str, tuple[Read, ...]] = {
    "AttachRolePolicy": _same("ListAttachedRolePolicies", "RoleName", found="AttachedPolicies/0"),
    "CreateApiKey": (Read("GetApiKey", {"apiKey": REF}),),
    "CreateAuthorizer": (Read("GetAuthorizer", {"restApiId": "restApiId", "authorizerId": REF}),),
    "CreateBucket": _same("GetBucketLocation", "Bucket"),
    "CreateDeployment": (Read("GetDeployment", {"restApiId": "restApiId", "deploymentId": REF}),),
    "CreateEndpoint": (Read("DescribeEndpoint", {"EndpointName": NAME}),),
    "CreateEndpointConfig": _same("DescribeEndpointConfig", "EndpointConfigName"),
    "CreateFunction": _same("GetFunctionConfiguration", "FunctionName"),
    "CreateKey": (
        Read("DescribeKey", {"KeyId": REF}, "KeyMetadata"),
        Read("GetKeyPolicy", {"KeyId": REF}, fixed={"PolicyName": "default"}),
    ),
    "CreateLogGroup": (_GROUP,),
    "CreateModel": _same("DescribeModel", "ModelName"),
    "CreateProject": (Read("BatchGetProjects", {"names": "name"}, "projects/0"),),
    "CreateQueue": (_queue(REF),),
    "CreateRepository": (
        Read("DescribeRepositories", {"repositoryNames": "repositoryName"}, "repositories/0"),
    ),
    "CreateResource": (Read("GetResource", {"restApiId": "restApiId", "resourceId": REF}),),
    "CreateRestApi": (Read("GetRestApi", {"restApiId": REF}),),
    "CreateRole": _same("GetRole", "RoleName", found="Role"),
    "CreateStage": _same("GetStage", "restApiId", "stageName"),
    "CreateUsagePlan": (Read("GetUsagePlan", {"usagePlanId": REF}),),
    "CreateUsagePlanKey": _same("GetUsagePlanKey", "usagePlanId", "keyId"),
    "PutBucketEncryption": _same("GetBucketEncryption", "Bucket"),
    "PutBucketLifecycleConfiguration": _same(
        "GetBucketLifecycleConfiguration", "Bucket", under="LifecycleConfiguration"
    ),
    "PutBucketOwnershipControls": _same("GetBucketOwnershipControls", "Bucket"),
    "PutBucketPolicy": _same("GetBucketPolicy", "Bucket"),
    "PutGatewayResponse": _same("GetGatewayResponse", "restApiId", "responseType"),
    "PutIntegration": _same("GetIntegration", "restApiId", "resourceId", "httpMethod"),
    "PutLifecyclePolicy": _same("GetLifecyclePolicy", "repositoryName"),
    "PutMethod": _same("GetMethod", "restApiId", "resourceId", "httpMethod"),
    "PutMetricAlarm": (Read("DescribeAlarms", {"AlarmNames": "AlarmName"}, "MetricAlarms/0"),),
    "PutParameter": _same("GetParameter", "Name", found="Parameter"),
    "PutPublicAccessBlock": _same("GetPublicAccessBlock", "Bucket"),
    "PutRetentionPolicy": (_GROUP,),
    "PutRolePolicy": _same("GetRolePolicy", "RoleName", "PolicyName"),
    "PutRule": _same("DescribeRule", "Name"),
    "PutTargets": _same("ListTargetsByRule", "Rule"),
    "SetQueueAttributes": (_queue("QueueUrl"),),
}


READ_OTHERWISE = frozenset({"AddPermission"})
"""Its answer is a policy."""
NOT_IN_THE_ANSWER = (
    ("CreateFunction", "Code"),
    ("CreateQueue", "QueueName"),
    ("CreateUsagePlanKey", "keyType"),
    ("PutIntegration", "integrationHttpMethod"),  # it is "httpMethod" there
    ("PutParameter", "Description"),
)
"""Members by operation that AWS doesn't tell either."""


@dataclass(frozen=True)
class Compared:
    """One value that was asked for, and what is read in its place: None where nothing is."""

    operation: str
    path: str
    asked: Any
    read: Any

    @property
    def equal(self) -> bool:
        return bool(self.asked == self.read)


def compared(request: Request, ref: str, client: Any) -> Iterator[Compared]:
    """Every value of the request; nothing is read where the service finds nothing."""
    reads = READS[request.operation]
    known = {of for read in reads for of in read.by.values()}
    answer: dict[str, Any] = {}
    for read in reads:
        shape = client.meta.service_model.operation_model(read.operation).input_shape
        arguments = {}
        for name, of in read.by.items():
            value = {REF: ref, NAME: ref.rpartition("/")[2]}.get(of) or request.value[of]
            arguments[name] = [value] if shape.members[name].type_name == "list" else value
        try:
            found = getattr(client, xform_name(read.operation))(**arguments, **read.fixed)
            for step in filter(None, read.found.split("/")):
                found = found[int(step) if step.isdigit() else step]
        except (ClientError, LookupError):
            continue
        answer |= {read.under: found} if read.under else found
    asked = {
        name: value
        for name, value in request.value.items()
        if name not in known and (request.operation, name) not in NOT_IN_THE_ANSWER
    }
    for path, value, counterpart in _leaves(asked, answer, ""):
        yield Compared(request.operation, path, value, counterpart)


def _leaves(asked: Any, read: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    asked, read = _document(asked), _document(read)
    if isinstance(asked, dict):
        for name, value in asked.items():
            inner = read.get(name) if isinstance(read, dict) else None
            yield from _leaves(value, inner, f"{path}/{name}".lstrip("/"))
    elif isinstance(asked, list) and isinstance(read, list) and len(asked) == len(read):
        for item, counterpart in zip(asked, read, strict=True):
            yield from _leaves(item, counterpart, path)
    else:
        yield path, asked, read


def _document(value: Any) -> Any:
    """A policy is read as text from one service, as a document from another."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
