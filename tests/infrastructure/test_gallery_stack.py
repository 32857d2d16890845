"""The gallery: what calls whom, what each may do, and that nothing of it costs by the hour."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from front_door.config import Config as FrontDoorConfig
from gallery.config import Config
from sd_contract.gallery import index_name
from stacks.settings import SettingsError
from tests.infrastructure.support import (
    G5_ALONE,
    Resource,
    Synthesized,
    synthesize,
    text_of,
)

STACK, API = "SdGalleryStack", "SdApiStack"
FUNCTION, QUEUE, INDEX = "AWS::Lambda::Function", "AWS::SQS::Queue", "AWS::S3Vectors::Index"
MAPPING = "AWS::Lambda::EventSourceMapping"
NAMES = ("api", "worker", "removals")
LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
ENCODES = {"ssm:GetParametersByPath", "sagemaker:InvokeEndpoint"}
MAY = {
    "api": ENCODES
    | {f"dynamodb:{call}" for call in ("GetItem", "BatchGetItem", "Query", "PutItem", "DeleteItem")}
    | {"s3:GetObject", "s3:DeleteObject"}
    | {"s3vectors:QueryVectors", "s3vectors:GetVectors", "s3vectors:DeleteVectors"},
    "worker": ENCODES
    | {f"dynamodb:{call}" for call in ("GetItem", "PutItem", "DeleteItem")}
    | {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
    | {"s3vectors:PutVectors", "s3vectors:DeleteVectors"}
    | {
        f"sqs:{call}"
        for call in (
            "ReceiveMessage",
            "ChangeMessageVisibility",
            "GetQueueUrl",
            "DeleteMessage",
            "GetQueueAttributes",
        )
    },
    "removals": {"s3:DeleteObject", "s3vectors:DeleteVectors", "sqs:SendMessage"}
    | {"sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
    | {f"dynamodb:{call}" for call in ("ListStreams", "DescribeStream", "GetRecords")}
    | {"dynamodb:GetShardIterator"},
}
# What SQS, Lambda, DynamoDB on demand, S3 and S3 Vectors charge for is use; an alarm costs 0.10 USD
# a month (CloudWatch's prices), as docs/operations.md counts.
COST_BY_USE = {
    "AWS::CloudWatch::Alarm",
    "AWS::DynamoDB::Table",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::S3Vectors::Index",
    "AWS::S3Vectors::VectorBucket",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
}


def function(app: Synthesized, name: str) -> Resource:
    found = app.only(STACK, FUNCTION, {"Handler": f"gallery.{name}.handler.handler"})
    return dict(found["Properties"])


def allowed(app: Synthesized, name: str) -> dict[str, list[str]]:
    """Resources by action; what is refused besides isn't in it."""
    role = function(app, name)["Role"]["Fn::GetAtt"][0]
    found: dict[str, list[str]] = {}
    for statement in app.statements():
        if statement.stack == STACK and role in statement.roles:
            for action in statement.actions if statement.raw["Effect"] == "Allow" else ():
                found.setdefault(action, []).extend(statement.resources)
    return found


def front_door(app: Synthesized) -> FrontDoorConfig:
    handler = {"Handler": "front_door.handler.handler"}
    given = app.only(API, FUNCTION, handler)["Properties"]["Environment"]["Variables"]
    return FrontDoorConfig.from_env({name: text_of(value) for name, value in given.items()})


@pytest.mark.parametrize("name", NAMES)
def test_each_function_understands_its_environment(aws: Synthesized, name: str) -> None:
    given = function(aws, name)["Environment"]["Variables"]
    config = Config.from_env({name: text_of(value) for name, value in given.items()})
    assert config.variant_prefix == "/sd/variants"
    assert config.picture_days == aws.settings.gallery.picture_days
    table, _ = aws.one(STACK, "AWS::DynamoDB::Table")
    bucket, _ = aws.one(STACK, "AWS::S3::Bucket")
    assert (config.table, config.bucket) == (f"<{table}>", f"<{bucket}>")


@pytest.mark.parametrize("name", NAMES)
def test_each_function_may_do_its_part_alone(aws: Synthesized, name: str) -> None:
    assert allowed(aws, name).keys() == LOG | MAY[name]


@pytest.mark.parametrize("name", NAMES)
def test_vectors_are_reached_by_the_indexes_alone(aws: Synthesized, name: str) -> None:
    indexes = {f"<{index}.IndexArn>" for index in aws.resources(STACK, INDEX)}
    for action, resources in allowed(aws, name).items():
        if action.startswith("s3vectors:"):
            assert {*resources} == indexes


def test_the_front_door_finds_queue_and_function_by_their_names(aws: Synthesized) -> None:
    config, name = front_door(aws), aws.settings.names.gallery
    assert config.gallery_queue_url.endswith(f"/<AWS::AccountId>/{name}")
    assert config.gallery_function == function(aws, "api")["FunctionName"] == name
    aws.only(STACK, QUEUE, {"QueueName": name})
    assert config.store is False


def test_the_api_s_stack_needs_nothing_of_the_gallery_s(aws: Synthesized) -> None:
    """Which may come later, go, or never be there."""
    assert STACK not in aws.dependencies[API]
    for stack in aws.templates:
        assert stack == STACK or STACK not in aws.dependencies[stack]


def test_an_index_a_model_has_the_name_that_the_front_door_gives_it(aws: Synthesized) -> None:
    """Of what the variants' stacks register."""
    properties = aws.only(STACK, INDEX)["Properties"]
    names = set()
    for _, parameter in aws.every("AWS::SSM::Parameter"):
        text = text_of(parameter["Properties"]["Value"])
        if parameter["Properties"]["Name"].startswith("/sd/variants/"):
            told = dict(re.findall(r'"(model_id|revision)":"([^"]+)"', text))
            names.add(index_name(told["model_id"], told["revision"]))
    assert names == {properties["IndexName"]}
    assert (properties["DataType"], properties["DistanceMetric"]) == ("float32", "cosine")
    assert properties["Dimension"] == 1024


def test_a_folder_s_dimension_is_its_own(local: Synthesized) -> None:
    assert local.only(STACK, INDEX)["Properties"]["Dimension"] == 64


def test_what_is_kept_goes_after_its_days(tmp_path: Path) -> None:
    found = synthesize(tmp_path, **G5_ALONE, **{"sd.gallery.picture_days": "3"})
    bucket = found.only(STACK, "AWS::S3::Bucket")["Properties"]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == 3
    table = found.only(STACK, "AWS::DynamoDB::Table")["Properties"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["StreamSpecification"] == {"StreamViewType": "OLD_IMAGE"}


def test_messages_come_again_for_an_hour_and_then_are_dead_letters(aws: Synthesized) -> None:
    queue = aws.only(STACK, QUEUE, {"QueueName": aws.settings.names.gallery})["Properties"]
    worker_s = function(aws, "worker")["Timeout"]
    assert queue["VisibilityTimeout"] >= 6 * worker_s
    assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] >= 3600
    (mapping,) = (
        each["Properties"]
        for each in aws.resources(STACK, MAPPING).values()
        if "FunctionResponseTypes" in each["Properties"]
    )
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}


def test_the_stream_tells_of_rows_that_are_gone_and_of_no_marks(aws: Synthesized) -> None:
    (mapping,) = (
        each["Properties"]
        for each in aws.resources(STACK, MAPPING).values()
        if "StartingPosition" in each["Properties"]
    )
    (wanted,) = mapping["FilterCriteria"]["Filters"]
    assert json.loads(wanted["Pattern"]) == {
        "eventName": ["REMOVE"],
        "dynamodb": {"Keys": {"pk": {"S": ["picture"]}}},
    }
    assert mapping["DestinationConfig"]["OnFailure"]
    assert "MaximumRetryAttempts" not in mapping


def test_nothing_costs_by_the_hour(aws: Synthesized) -> None:
    kinds = {each["Type"] for each in aws.templates[STACK]["Resources"].values()}
    assert kinds <= COST_BY_USE
    table = aws.only(STACK, "AWS::DynamoDB::Table")["Properties"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_without_it_the_front_door_may_nothing_more(tmp_path: Path) -> None:
    found = synthesize(tmp_path, **G5_ALONE, **{"sd.gallery.enabled": "false"})
    assert STACK not in found.templates
    assert front_door(found).gallery_queue_url == ""
    role = found.function_role(API, "front_door")["Fn::GetAtt"][0]
    actions = {
        action
        for statement in found.statements()
        if statement.stack == API and role in statement.roles
        for action in statement.actions
    }
    assert not {"sqs:SendMessage", "lambda:InvokeFunction"} & actions


@pytest.mark.parametrize(
    ("name", "value"), [("enabled", "maybe"), ("store", "1"), ("picture_days", "366")]
)
def test_a_wrong_setting_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"sd.gallery.{name}"):
        synthesize(tmp_path, **{f"sd.gallery.{name}": value})
