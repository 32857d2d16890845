"""How events and notifications reach functions and queues, as AWS delivers them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from tests.fakes.local_account import allow, arn, client_of_user, policy, wait_for
from tests.fakes.local_function import LocalFunction

SOURCE = "sd.batches"
SAYS_IT = """
import json
def handler(event, context):
    print(json.dumps(event))
"""
FAILS_TWICE = """
import json, os, pathlib
counted = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / os.environ["AWS_LAMBDA_FUNCTION_NAME"]
def handler(event, context):
    tries = int(counted.read_text()) + 1 if counted.exists() else 1
    counted.write_text(str(tries))
    print(json.dumps([tries]))
    if tries < 3:
        raise RuntimeError("not yet")
"""


def rule(cloud: ChildCloud, name: str, target_arn: str) -> str:
    """Sends what `tell` tells of `name` to the target. Its ARN."""
    events = cloud.client("events")
    pattern = {"source": [SOURCE], "detail": {"id": [name]}}
    made = events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "t", "Arn": target_arn}])
    return str(made["RuleArn"])


def tell(events: Any, name: str, **more: Any) -> dict[str, Any]:
    detail = json.dumps({"id": name, **more})
    entry = {"Source": SOURCE, "DetailType": "Batch completed", "Detail": detail}
    answer: dict[str, Any] = events.put_events(Entries=[entry])
    return answer


def subscribe(cloud: ChildCloud, topic: str, function: LocalFunction) -> str:
    sns = cloud.client("sns")
    topic_arn = str(sns.create_topic(Name=topic)["TopicArn"])
    sns.subscribe(TopicArn=topic_arn, Protocol="lambda", Endpoint=function.arn)
    return topic_arn


def test_a_rule_reaches_a_function_that_lets_it(cloud: ChildCloud) -> None:
    function = LocalFunction(cloud, "told", SAYS_IT)
    function.let("events", rule(cloud, "told", function.arn))
    tell(cloud.client("events"), "told", status="completed")
    (event,) = wait_for(function.said)
    assert event["source"] == SOURCE
    assert event["detail-type"] == "Batch completed"
    assert event["detail"] == {"id": "told", "status": "completed"}


def test_a_rule_does_not_reach_a_function_that_lets_another_rule(cloud: ChildCloud) -> None:
    shut = LocalFunction(cloud, "shut", SAYS_IT)
    rule(cloud, "shut", shut.arn)
    shut.let("events", arn("events", "rule/another"))
    beside = LocalFunction(cloud, "beside", SAYS_IT)
    beside.let("events", rule(cloud, "beside", beside.arn))
    events = cloud.client("events")
    tell(events, "shut")
    tell(events, "beside")
    wait_for(beside.said)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        shut.said()


def test_a_rule_does_not_reach_a_queue_whose_policy_does_not_let_it(cloud: ChildCloud) -> None:
    sqs, events = cloud.client("sqs"), cloud.client("events")
    queue = sqs.create_queue(QueueName="closed")["QueueUrl"]
    queue_arn = arn("sqs", "closed")
    rule_arn = rule(cloud, "closed", queue_arn)
    tell(events, "closed", number=1)
    sends = allow("sqs:SendMessage", queue_arn) | {
        "Principal": {"Service": "events.amazonaws.com"},
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy(sends)})
    tell(events, "closed", number=2)
    received = wait_for(
        lambda: sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages")
    )
    assert [json.loads(message["Body"])["detail"]["number"] for message in received] == [2]


@pytest.mark.parametrize("service", ["events", "sns"])
def test_a_function_that_fails_is_given_the_event_twice_more(
    cloud: ChildCloud, service: str
) -> None:
    """So what it does with one it must be able to do again."""
    name = f"fails-{service}"
    function = LocalFunction(cloud, name, FAILS_TWICE)
    if service == "events":
        function.let(service, rule(cloud, name, function.arn))
        tell(cloud.client("events"), name)
    else:
        topic = subscribe(cloud, name, function)
        function.let(service, topic)
        cloud.client("sns").publish(TopicArn=topic, Message="{}")
    wait_for(lambda: function.said() == [[1], [2], [3]])


def test_what_a_function_failed_for_good_is_its_dead_letter_as_it_came(cloud: ChildCloud) -> None:
    sqs = cloud.client("sqs")
    queue = sqs.create_queue(QueueName="dead-events")["QueueUrl"]
    queue_arn = arn("sqs", "dead-events")
    code = "def handler(event, context):\n    raise RuntimeError('never')"
    sends = allow("sqs:SendMessage", queue_arn)
    letters = {"DeadLetterConfig": {"TargetArn": queue_arn}}
    unheard = LocalFunction(cloud, "unheard", code, **letters)
    function = LocalFunction(cloud, "never", code, sends, **letters)
    for each in (unheard, function):
        each.client.invoke(
            FunctionName=each.name, InvocationType="Event", Payload=json.dumps({"to": each.name})
        )
    received = wait_for(
        lambda: sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages")
    )
    (message,) = received
    assert json.loads(message["Body"]) == {"to": "never"}
    assert message["MessageAttributes"]["ErrorMessage"]["StringValue"] == "never"


def test_a_topic_reaches_a_function_that_lets_it(cloud: ChildCloud) -> None:
    function = LocalFunction(cloud, "notified", SAYS_IT)
    topic = subscribe(cloud, "async-success", function)
    sns = cloud.client("sns")
    sns.publish(TopicArn=topic, Message="before it may")
    function.let("sns", topic)
    sns.publish(TopicArn=topic, Message='{"inferenceId": "unit"}', Subject="done")
    (event,) = wait_for(function.said)
    (record,) = event["Records"]
    assert record["EventSource"] == "aws:sns"
    assert record["Sns"]["TopicArn"] == topic
    assert json.loads(record["Sns"]["Message"]) == {"inferenceId": "unit"}


def test_who_may_put_events_may_on_the_default_bus_and_for_no_service_of_aws_s(
    cloud: ChildCloud,
) -> None:
    puts = allow("events:PutEvents", arn("events", "event-bus/default"))
    events = client_of_user(cloud, "tells-all", "events", puts)
    assert tell(events, "anything")["FailedEntryCount"] == 0
    refused = events.put_events(
        Entries=[{"Source": "aws.sagemaker", "DetailType": "SageMaker", "Detail": "{}"}]
    )
    assert refused["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"
    other = allow("events:PutEvents", arn("events", "event-bus/another"))
    with pytest.raises(ClientError, match="AccessDenied"):
        tell(client_of_user(cloud, "tells-elsewhere", "events", other), "anything")


def test_a_role_may_be_let_put_events_of_one_source_alone(cloud: ChildCloud) -> None:
    def teller(name: str, source: str) -> Any:
        puts = allow("events:PutEvents", arn("events", "event-bus/default"))
        condition = {"Condition": {"StringEquals": {"events:source": source}}}
        return client_of_user(cloud, name, "events", puts | condition)

    assert tell(teller("tells-of-batches", SOURCE), "anything")["FailedEntryCount"] == 0
    with pytest.raises(ClientError, match="AccessDenied"):
        tell(teller("tells-of-others", "another.source"), "anything")
