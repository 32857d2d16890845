"""Batches: what calls whom, what each may do, and that nothing of it costs while nothing runs."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from batches.bulk import TRIES
from batches.config import Config
from batches.store import new_id
from sd_contract.batch import BatchKeys
from sd_contract.limits import INVOCATION_S
from tests.infrastructure.support import (
    G5_ALONE,
    Resource,
    Synthesized,
    synthesize,
    text_of,
)

STACK = "SdBatchStack"
FUNCTION, QUEUE, ALARM = "AWS::Lambda::Function", "AWS::SQS::Queue", "AWS::CloudWatch::Alarm"
MAPPING = "AWS::Lambda::EventSourceMapping"
NAMES = ("api", "checker", "worker", "async_results", "job_events")
EVERY = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "dynamodb:ConditionCheckItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
    "lambda:InvokeFunction",
}
OBJECTS = {"s3:GetObject", "s3:PutObject", "s3:ListBucket"}
JOBS = {"sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"}
QUEUE_READ = {
    f"sqs:{call}"
    for call in (
        "ReceiveMessage",
        "ChangeMessageVisibility",
        "GetQueueUrl",
        "DeleteMessage",
        "GetQueueAttributes",
    )
}
READS = {"ssm:GetParametersByPath"}
SENDS = {"sqs:SendMessage"}
MAY = {
    "api": OBJECTS | {"s3:DeleteObject"},
    "checker": OBJECTS | {"s3:DeleteObject", "events:PutEvents"} | READS | SENDS | JOBS,
    "worker": OBJECTS
    | READS
    | SENDS
    | JOBS
    | QUEUE_READ
    | {
        "sagemaker:CreateTrainingJob",
        "sagemaker:InvokeEndpoint",
        "sagemaker:InvokeEndpointAsync",
        "iam:PassRole",
    },
    "async_results": OBJECTS | {"s3:DeleteObject"} | SENDS,
    "job_events": SENDS | JOBS,
}


def function(app: Synthesized, name: str) -> tuple[str, Resource]:
    found, resource = app.one(STACK, FUNCTION, {"Handler": f"batches.{name}.handler.handler"})
    return found, dict(resource["Properties"])


def allowed(app: Synthesized, name: str) -> dict[str, list[str]]:
    """Resources by action; what is refused besides isn't in it."""
    role = function(app, name)[1]["Role"]["Fn::GetAtt"][0]
    found: dict[str, list[str]] = {}
    for statement in app.statements():
        if statement.stack == STACK and role in statement.roles:
            for action in statement.actions if statement.raw["Effect"] == "Allow" else ():
                found.setdefault(action, []).extend(statement.resources)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_function_understands_its_environment(aws: Synthesized, name: str) -> None:
    given = function(aws, name)[1]["Environment"]["Variables"]
    config = Config.from_env({name: text_of(value) for name, value in given.items()})
    assert (config.variant_prefix, config.fleet_prefix) == ("/sd/variants", "/sd/fleets")
    assert (config.event_source, config.job_prefix) == ("sd.batches", "sd-bulk-")
    told = aws.settings.batch
    assert (config.result_days, config.bulk_pictures) == (told.result_days, told.bulk_pictures)
    assert config.real_time_share == told.real_time_share
    assert config.checker == function(aws, "checker")[1]["FunctionName"]
    table, _ = aws.one(STACK, "AWS::DynamoDB::Table")
    bucket, _ = aws.one(STACK, "AWS::S3::Bucket")
    assert (config.table, config.bucket) == (f"<{table}>", f"<{bucket}>")
    assert config.queue_url == f"<{units(aws)[0]}>"
    assert config.signing_function == ""


@pytest.mark.parametrize("name", NAMES)
def test_each_function_may_do_its_part_alone(aws: Synthesized, name: str) -> None:
    assert allowed(aws, name).keys() == EVERY | MAY[name]


def test_who_reads_what_may_be_absent_may_list_it(aws: Synthesized) -> None:
    """Else S3 refuses the reading of what isn't there, and nobody knows that it isn't."""
    listed = {name: listable(aws, name) for name in NAMES}
    own = {"batches/*", "files/*"}
    assert listed == {
        "api": own,
        "checker": own,
        "worker": own,
        "async_results": own | {"async/*"},
        "job_events": set(),
    }


def listable(app: Synthesized, name: str) -> set[str]:
    role = function(app, name)[1]["Role"]["Fn::GetAtt"][0]
    return {
        statement.raw["Condition"]["StringLike"]["s3:prefix"]
        for statement in app.statements()
        if statement.stack == STACK and role in statement.roles
        if "s3:ListBucket" in statement.actions
    }


def test_pictures_of_the_front_door_are_read_by_the_checker_alone(aws: Synthesized) -> None:
    """A line of an edit may name one."""
    reading = {
        name
        for name in NAMES
        if any("SdApiStack" in bucket for bucket in allowed(aws, name).get("s3:GetObject", ()))
    }
    assert reading == {"checker"}


def test_a_job_is_started_under_the_one_role_for_them(aws: Synthesized) -> None:
    (role,) = allowed(aws, "worker")["iam:PassRole"]
    fleet = {"Name": "/sd/fleets/g5"}
    told = aws.only("SdG5Stack", "AWS::SSM::Parameter", fleet)["Properties"]["Value"]
    exported = aws.templates[STACK]["Outputs"].values()
    (name,) = (e["Export"]["Name"] for e in exported if text_of(e["Value"]) == role)
    assert f'"role_arn":"<{name}>"' in text_of(told)


def test_every_name_of_a_job_is_one_that_may_be_started(aws: Synthesized) -> None:
    patterns = [r.rpartition("/")[2] for r in allowed(aws, "worker")["sagemaker:CreateTrainingJob"]]
    for now_s in (0, time.time(), 1e10):
        for tries in range(1, TRIES + 1):
            assert [fnmatchcase(f"sd-bulk-{new_id(now_s)}-{tries}", p) for p in patterns] == [True]


def test_a_job_reads_artifacts_and_its_work_and_writes_to_batches_alone(aws: Synthesized) -> None:
    ((name, _),) = (
        (name, role)
        for name, role in aws.resources(STACK, "AWS::IAM::Role").items()
        if "sagemaker.amazonaws.com" in str(role)
    )
    may = aws.allowed(STACK, name)
    assert [r.rpartition(">/")[2] for r in may["s3:PutObject"]] == ["batches/*"]
    assert {r.rpartition(">/")[2] for r in may["s3:GetObject"]} == {
        "weights/*",
        "compiled/*",
        "batches/*",
    }
    assert BatchKeys("batch_1").folder.startswith("batches/")
    assert "s3:DeleteObject" not in may


def units(aws: Synthesized) -> tuple[str, Resource]:
    """The queue; the others are for what it and the functions give up."""
    ((name, queue),) = (
        (name, queue["Properties"])
        for name, queue in aws.resources(STACK, QUEUE).items()
        if "RedrivePolicy" in queue["Properties"]
    )
    return name, queue


def test_units_come_in_their_order_one_at_a_time_and_back_when_the_worker_dies(
    aws: Synthesized,
) -> None:
    name, queue = units(aws)
    worker, properties = function(aws, "worker")
    dead = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    resources = aws.resources(STACK, QUEUE)
    mappings = aws.resources(STACK, MAPPING, {"FunctionName": {"Ref": worker}}).values()
    # What has come back too often is counted as failed, by the worker as well.
    read = {m["Properties"]["EventSourceArn"]["Fn::GetAtt"][0] for m in mappings}
    assert read == {name, dead}
    for mapping in mappings:
        assert mapping["Properties"]["BatchSize"] == 1
        assert mapping["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    for each in read:
        assert resources[each]["Properties"]["FifoQueue"] is True
        # Lambda refuses a mapping whose queue shows a message again before the function is done.
        assert resources[each]["Properties"]["VisibilityTimeout"] > properties["Timeout"]
    # A picture takes a minute at most, and more than that to be asked for and stored.
    assert properties["Timeout"] > INVOCATION_S + 30


def test_the_worker_alone_may_call_itself_by_its_queue_as_often_as_a_batch_has_parts(
    aws: Synthesized,
) -> None:
    """Lambda stops a function's seventeenth call in a row (its guide, invocation-recursion)."""
    allowed = {name for name in NAMES if function(aws, name)[1].get("RecursiveLoop") == "Allow"}
    assert allowed == {"worker"}


def test_what_is_given_up_or_lost_is_heard_of(aws: Synthesized) -> None:
    alarms = {
        text_of(alarm["Properties"]["Dimensions"][0]["Value"]): alarm["Properties"]
        for alarm in aws.resources(STACK, ALARM, {"Namespace": "AWS/SQS"}).values()
    }
    name, queue = units(aws)
    dead = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    (lost,) = aws.resources(STACK, QUEUE).keys() - {name, dead}
    assert {
        queue: (a["Namespace"], a["MetricName"], a["Statistic"]) for queue, a in alarms.items()
    } == {
        # The worker takes them out again.
        f"<{dead}.QueueName>": ("AWS/SQS", "NumberOfMessagesReceived", "Sum"),
        f"<{lost}.QueueName>": ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Sum"),
    }
    for alarm in alarms.values():
        assert (alarm["Threshold"], alarm["EvaluationPeriods"]) == (1, 1)
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    # Of whatever is called and not waited for.
    for called in ("checker", "async_results", "job_events"):
        target = function(aws, called)[1]["DeadLetterConfig"]["TargetArn"]
        assert text_of(target) == f"<{lost}.Arn>"


def test_an_endpoint_s_answers_and_a_job_s_end_reach_their_functions(aws: Synthesized) -> None:
    answered, ended = (function(aws, name)[0] for name in ("async_results", "job_events"))
    subscriptions = aws.resources(STACK, "AWS::SNS::Subscription").values()
    assert len(subscriptions) == 2
    for each in subscriptions:
        assert each["Properties"]["Protocol"] == "lambda"
        assert text_of(each["Properties"]["Endpoint"]) == f"<{answered}.Arn>"
        assert each["Properties"]["RedrivePolicy"]
    rules = [rule["Properties"] for rule in aws.resources(STACK, "AWS::Events::Rule").values()]
    heard_of: list[str] = []
    for rule in rules:
        statuses = rule["EventPattern"]["detail"]["TrainingJobStatus"]
        heard_of += statuses
        assert rule["EventPattern"] == {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Training Job State Change"],
            "detail": {
                "TrainingJobName": [{"prefix": "sd-bulk-"}],
                "TrainingJobStatus": statuses,
            },
        }
        (target,) = rule["Targets"]
        assert text_of(target["Arn"]) == f"<{ended}.Arn>"
        assert target["DeadLetterConfig"]
    # Each once.
    assert sorted(heard_of) == ["Completed", "Failed", "Stopped"]


def test_the_gateway_may_call_the_function_that_it_knows_by_its_name(aws: Synthesized) -> None:
    api, properties = function(aws, "api")
    assert properties["FunctionName"] == "sd-batches"
    gateway = {"Principal": "apigateway.amazonaws.com", "FunctionName": {"Ref": api}}
    permission = aws.only(STACK, "AWS::Lambda::Permission", gateway)["Properties"]
    # Of this API alone, and of its stage.
    assert text_of(permission["SourceArn"]).endswith("/v1/*/*")
    assert "SdApiStack" in text_of(permission["SourceArn"])
    assert "SdBatchStack" not in aws.dependencies["SdApiStack"]
    assert properties["Timeout"] > 29


def test_everything_of_a_batch_ends_with_its_days(aws: Synthesized) -> None:
    bucket = aws.only(STACK, "AWS::S3::Bucket")["Properties"]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["ExpirationInDays"], rule["Status"]) == (7, "Enabled")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert "CorsConfiguration" not in bucket
    table = aws.only(STACK, "AWS::DynamoDB::Table")["Properties"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


# What SQS, SNS, EventBridge, Lambda, DynamoDB on demand and S3 charge for is use.
FREE_AT_REST = {
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
}


def test_nothing_costs_while_no_batch_runs_but_three_alarms(aws: Synthesized) -> None:
    """An alarm is ten cents a month (CloudWatch pricing)."""
    types = [resource["Type"] for resource in aws.templates[STACK]["Resources"].values()]
    assert set(types) - FREE_AT_REST == {ALARM}
    assert types.count(ALARM) == 3
    table = aws.only(STACK, "AWS::DynamoDB::Table")["Properties"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    for _, resource in (function(aws, name) for name in NAMES):
        assert "ReservedConcurrentExecutions" not in resource


def exports(app: Synthesized, stack: str) -> set[str]:
    outputs: dict[str, Any] = app.templates[stack]["Outputs"]
    return {each["Export"]["Name"] for each in outputs.values() if "Export" in each}


@pytest.mark.parametrize("serve", ["real-time", "bulk", "async"])
def test_what_a_variant_no_longer_uses_stays_until_it_is_told(
    aws: Synthesized, tmp_path: Path, serve: str
) -> None:
    """CloudFormation takes away no export that is in use, and this stack is updated first."""
    changed = synthesize(tmp_path, **G5_ALONE, **{"sd.variants.g5.serve": serve})
    assert exports(changed, STACK) == exports(aws, STACK)


def test_without_batches_there_is_nothing_of_them(aws: Synthesized, tmp_path: Path) -> None:
    without = synthesize(tmp_path, **G5_ALONE, **{"sd.batch.enabled": "false"})
    assert STACK not in without.templates
    assert "sd-batches" not in str(without.templates)
    assert "/sd/fleets" not in str(without.templates)
    parameter = without.only("SdG5Stack", "AWS::SSM::Parameter")["Properties"]
    assert '"serve":["real-time"]' in text_of(parameter["Value"])
    # What the stack that is still there uses.
    assert exports(without, "SdApiStack") == exports(aws, "SdApiStack")


def test_pages_may_put_files_where_they_may_call_and_follow_it(tmp_path: Path) -> None:
    """To a file's content they are sent on by the API, so that to S3 their origin is "null"."""
    origin = "https://app.example.com"
    found = synthesize(tmp_path, **G5_ALONE, **{"sd.api.cors_origins": origin})
    bucket = found.only(STACK, "AWS::S3::Bucket")["Properties"]
    rules = bucket["CorsConfiguration"]["CorsRules"]
    assert [(rule["AllowedMethods"], rule["AllowedOrigins"]) for rule in rules] == [
        (["PUT"], [origin]),
        (["GET"], ["*"]),
    ]
