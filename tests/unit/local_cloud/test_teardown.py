"""`make teardown`: what deleted stacks have kept is found, and goes when it is told to."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from local_cloud.child import ChildCloud
from operations.account import is_there
from operations.teardown.command import teardown
from operations.teardown.left import left, shared, standing
from stacks.settings import Names
from tests.fakes.local_account import wait_for

NAMES, VARIANTS = Names("sd"), ("g5", "inf2")
KEPT = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
KEPT_TYPES = ["AWS::S3::Bucket", "AWS::ECR::Repository", "AWS::Logs::LogGroup", "AWS::KMS::Key"]
KEY_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}
STORAGE = {
    "Resources": {
        "Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": KEY_POLICY}, **KEPT},
        "Models": {
            "Type": "AWS::S3::Bucket",
            "Properties": {"VersioningConfiguration": {"Status": "Enabled"}},
            **KEPT,
        },
        "Images": {"Type": "AWS::ECR::Repository", **KEPT},
        "Log": {"Type": "AWS::Logs::LogGroup", **KEPT},
        "Gone": {"Type": "AWS::Logs::LogGroup"},
    }
}


@pytest.fixture(scope="module")
def account() -> Iterator[ChildCloud]:
    with ChildCloud() as running:
        yield running


def deploy(account: ChildCloud, stack: str, template: object) -> None:
    cloudformation = account.client("cloudformation")
    cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps(template))
    wait_for(lambda: status(account, stack) == "CREATE_COMPLETE")


def status(account: ChildCloud, stack: str) -> str:
    described = account.client("cloudformation").describe_stacks(StackName=stack)
    return str(described["Stacks"][0]["StackStatus"])


def destroy(account: ChildCloud, stack: str) -> None:
    cloudformation = account.client("cloudformation")
    cloudformation.delete_stack(StackName=stack)
    wait_for(lambda: not is_there(lambda: cloudformation.describe_stacks(StackName=stack)))


def test_an_account_from_deployed_to_empty(
    account: ChildCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    clients = account.client

    def run(remove: str = "") -> tuple[int, str]:
        return teardown(clients, NAMES, VARIANTS, "us-east-1", remove), capsys.readouterr().out

    deploy(account, "SdStorageStack", STORAGE)
    assert run("all") == (
        1,
        "These stacks stand in account 000000000000, us-east-1; first: npx cdk destroy --all\n"
        "  SdStorageStack  CREATE_COMPLETE\n",
    )
    resources = clients("cloudformation").describe_stack_resources(StackName="SdStorageStack")
    (bucket,) = (
        resource["PhysicalResourceId"]
        for resource in resources["StackResources"]
        if resource["ResourceType"] == "AWS::S3::Bucket"
    )
    for content in (b"old", b"new"):
        clients("s3").put_object(Bucket=bucket, Key="weights/x", Body=content)
    destroy(account, "SdStorageStack")

    code, said = run()
    assert code == 0
    assert [each.type for each in left(clients, NAMES, VARIANTS)] == KEPT_TYPES
    assert f"aws s3 rb s3://{bucket} --force" in said
    assert "REMOVE=app" in said

    code, said = run("app")
    assert code == 0
    assert "Removed 4." in said
    assert "KMS::Key" in said
    assert "in 7 days" in said
    assert "Nothing is left of sd in account 000000000000, us-east-1." in said
    assert not is_there(lambda: clients("s3").head_bucket(Bucket=bucket))


def test_what_others_use_is_told_apart_and_goes_only_with_all(
    account: ChildCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    clients = account.client
    toolkit = {"Resources": {"StagingBucket": {"Type": "AWS::S3::Bucket", **KEPT}}}
    deploy(account, "CDKToolkit", toolkit)
    clients("logs").create_log_group(logGroupName="/aws/sagemaker/TrainingJobs")

    assert teardown(clients, NAMES, VARIANTS, "us-east-1", "app") == 0
    said = capsys.readouterr().out
    assert "Left for all apps of the account:" in said
    assert "CDKToolkit (of cdk bootstrap" in said
    assert len(shared(clients)) == 2

    assert teardown(clients, NAMES, VARIANTS, "us-east-1", "all") == 0
    said = capsys.readouterr().out
    assert "Nothing is left for all apps of the account either." in said
    assert said.count("removed: ") == 3
    assert clients("s3").list_buckets()["Buckets"] == []


def test_what_has_a_variant_s_name_is_found_without_a_stack(account: ChildCloud) -> None:
    clients = account.client
    clients("ssm").put_parameter(Name="/sd/variants/g5", Value="{}", Type="String")
    # The last three are other people's.
    for name in ("sd-g5", "sd-g5-async", "sd-x-g5", "sdx-g5", "sd-turbo"):
        clients("logs").create_log_group(logGroupName=f"/aws/sagemaker/Endpoints/{name}")
    assert [each.name for each in left(clients, NAMES, VARIANTS)] == [
        "/sd/variants/g5",
        "/aws/sagemaker/Endpoints/sd-g5",
        "/aws/sagemaker/Endpoints/sd-g5-async",
    ]
    assert teardown(clients, NAMES, VARIANTS, "us-east-1", "app") == 0
    assert left(clients, NAMES, VARIANTS) == []


def test_other_copies_stacks_are_not_this_one_s(account: ChildCloud) -> None:
    nothing = {"Resources": {"Log": {"Type": "AWS::Logs::LogGroup", **KEPT}}}
    for stack in ("Sd-YStorageStack", "SdyStorageStack", "SdStorage", "SdInf2CompileStack"):
        deploy(account, stack, nothing)
    assert set(standing(account.client, NAMES, VARIANTS)) == {"SdInf2CompileStack"}
    assert set(standing(account.client, Names("sd-y"), VARIANTS)) == {"Sd-YStorageStack"}
    destroy(account, "Sd-YStorageStack")
    assert left(account.client, NAMES, VARIANTS) == []
    assert [each.of for each in left(account.client, Names("sd-y"), VARIANTS)] == [
        "Sd-YStorageStack"
    ]


def test_another_apps_stack_of_a_like_name_is_not_this_one_s(account: ChildCloud) -> None:
    names = Names("demo")
    data = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "others-data"}, **KEPT}
    deploy(account, "DemoDataStack", {"Resources": {"Data": data}})
    assert standing(account.client, names, VARIANTS) == {}
    destroy(account, "DemoDataStack")
    assert teardown(account.client, names, VARIANTS, "us-east-1", "app") == 0
    account.client("s3").delete_bucket(Bucket="others-data")  # it was there still
