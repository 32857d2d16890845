"""What outlives a stack, by its CloudFormation type: whether it is there, and what removes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from operations.account import Clients, answer_or_none, is_there, log_group_exists

# The least that KMS waits (API reference, ScheduleKeyDeletion).
KEY_DAYS = 7


@dataclass(frozen=True)
class Kind:
    """`command` does what `remove` does, with the name for its {}. Where `remove` is None, only a
    person can know whether others need it."""

    exists: Callable[[Clients, str], bool]
    command: str
    remove: Callable[[Clients, str], object] | None


def _empty_and_delete(clients: Clients, bucket: str) -> None:
    """With every version that there is of anything in it."""
    s3 = clients("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        objects = [
            {"Key": version["Key"], "VersionId": version["VersionId"]}
            for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
        if objects:
            deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for error in deleted.get("Errors", ())[:1]:
                raise NotRemoved(f"{bucket}/{error['Key']}: {error['Message']}")
    s3.delete_bucket(Bucket=bucket)


class NotRemoved(Exception):
    """AWS kept something; the message says what, and in its words why."""


def _key_exists(clients: Clients, key: str) -> bool:
    answer = answer_or_none(lambda: clients("kms").describe_key(KeyId=key))
    return answer is not None and str(answer["KeyMetadata"]["KeyState"]) != "PendingDeletion"


def _gateway_role(clients: Clients, _: str) -> bool:
    account: Mapping[str, Any] = clients("apigateway").get_account()
    return bool(account.get("cloudwatchRoleArn"))


# In the order of their removal: what the key has encrypted can't be read without it.
KINDS: Mapping[str, Kind] = {
    "AWS::SageMaker::Endpoint": Kind(
        lambda clients, name: is_there(
            lambda: clients("sagemaker").describe_endpoint(EndpointName=name)
        ),
        "aws sagemaker delete-endpoint --endpoint-name {}",
        lambda clients, name: clients("sagemaker").delete_endpoint(EndpointName=name),
    ),
    "AWS::SSM::Parameter": Kind(
        lambda clients, name: is_there(lambda: clients("ssm").get_parameter(Name=name)),
        "aws ssm delete-parameter --name {}",
        lambda clients, name: clients("ssm").delete_parameter(Name=name),
    ),
    "AWS::S3::Bucket": Kind(
        lambda clients, name: is_there(lambda: clients("s3").head_bucket(Bucket=name)),
        "aws s3 rb s3://{} --force",
        _empty_and_delete,
    ),
    "AWS::ECR::Repository": Kind(
        lambda clients, name: is_there(
            lambda: clients("ecr").describe_repositories(repositoryNames=[name])
        ),
        "aws ecr delete-repository --repository-name {} --force",
        lambda clients, name: clients("ecr").delete_repository(repositoryName=name, force=True),
    ),
    "AWS::Logs::LogGroup": Kind(
        lambda clients, name: log_group_exists(clients("logs"), name),
        "aws logs delete-log-group --log-group-name {}",
        lambda clients, name: clients("logs").delete_log_group(logGroupName=name),
    ),
    "AWS::ApiGateway::Account": Kind(
        _gateway_role,
        "aws apigateway update-account --patch-operations op=replace,path=/cloudwatchRoleArn,"
        "value=''",
        None,
    ),
    "AWS::IAM::Role": Kind(
        lambda clients, name: is_there(lambda: clients("iam").get_role(RoleName=name)),
        "aws iam delete-role --role-name {}, once its policies are detached",
        None,
    ),
    "AWS::KMS::Key": Kind(
        _key_exists,
        f"aws kms schedule-key-deletion --key-id {{}} --pending-window-in-days {KEY_DAYS}",
        lambda clients, name: clients("kms").schedule_key_deletion(
            KeyId=name, PendingWindowInDays=KEY_DAYS
        ),
    ),
}
