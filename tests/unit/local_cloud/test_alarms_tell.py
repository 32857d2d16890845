"""A tripped alarm reaches the subscribers of the app's topic, and no topic that doesn't let it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_cloud.child import ChildCloud
from tests.fakes.local_account import arn, wait_for
from tests.infrastructure.support import G5_ALONE, Synthesized, synthesize

TOPIC = arn("sns", "sd-alarms")
LOST = "lost-events"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize(tmp_path_factory.mktemp("app"), **G5_ALONE)


@pytest.fixture(scope="module", autouse=True)
def topic(cloud: ChildCloud, app: Synthesized) -> None:
    """From its template, as it is deployed."""
    cloudformation = cloud.client("cloudformation")
    template = json.dumps(app.templates["SdAlarmsStack"] | {"Parameters": {}, "Rules": {}})
    cloudformation.create_stack(StackName="SdAlarmsStack", TemplateBody=template)
    wait_for(lambda: status(cloudformation) == "CREATE_COMPLETE")


def status(cloudformation: Any) -> str:
    (stack,) = cloudformation.describe_stacks(StackName="SdAlarmsStack")["Stacks"]
    return str(stack["StackStatus"])


def hears_of(cloud: ChildCloud, topic: str, name: str) -> str:
    """The URL of a queue that gets what the topic is told."""
    sqs = cloud.client("sqs")
    url = str(sqs.create_queue(QueueName=name)["QueueUrl"])
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn("sqs", name),
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn("sqs", name))
    return url


def heard(cloud: ChildCloud, url: str) -> list[str]:
    got = cloud.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"])["Message"] for message in got.get("Messages", ())]


def of_lost_events(app: Synthesized) -> dict[str, Any]:
    """The template's alarm on events that the batches' functions gave up, on this queue."""
    metric = {"MetricName": "ApproximateNumberOfMessagesVisible"}
    alarm = dict(app.only("SdBatchStack", "AWS::CloudWatch::Alarm", metric)["Properties"])
    assert alarm.pop("AlarmActions")
    return {**alarm, "Dimensions": [{"Name": "QueueName", "Value": LOST}]}


def test_a_dead_letter_reaches_a_subscriber_with_what_to_do(
    cloud: ChildCloud, app: Synthesized
) -> None:
    ear = hears_of(cloud, TOPIC, "ear")
    cloudwatch, sqs = cloud.client("cloudwatch"), cloud.client("sqs")
    closed = str(cloud.client("sns").create_topic(Name="closed")["TopicArn"])
    cloud.client("sns").set_topic_attributes(
        TopicArn=closed, AttributeName="Policy", AttributeValue=json.dumps(DENIES_PLAIN_HTTP)
    )
    deaf = hears_of(cloud, closed, "deaf")
    letters = sqs.create_queue(QueueName=LOST)["QueueUrl"]
    alarm = of_lost_events(app)
    cloudwatch.put_metric_alarm(AlarmName="lost", AlarmActions=[closed, TOPIC], **alarm)
    sqs.send_message(QueueUrl=letters, MessageBody="an event")

    told = json.loads(wait_for(lambda: heard(cloud, ear))[0])
    assert (told["AlarmName"], told["NewStateValue"]) == ("lost", "ALARM")
    assert told["AlarmDescription"] == alarm["AlarmDescription"]
    assert " 1. Receive the message" in told["AlarmDescription"]
    assert heard(cloud, deaf) == []


def test_an_endpoint_that_was_stopped_reaches_a_subscriber_in_words(cloud: ChildCloud) -> None:
    ear = hears_of(cloud, TOPIC, "stopped-ear")
    events, told = cloud.client("events"), "sd-g5: Endpoint Stopped, no request for 2 h."
    deaf = hears_of(cloud, arn("sns", "closed"), "stopped-deaf")
    events.put_rule(Name="deaf", EventPattern='{"source": ["sd.endpoints"]}')
    events.put_targets(Rule="deaf", Targets=[{"Id": "1", "Arn": arn("sns", "closed")}])
    detail = json.dumps({"endpoint": "sd-g5", "message": told})
    entry = {"Source": "sd.endpoints", "DetailType": "Endpoint Stopped", "Detail": detail}
    events.put_events(Entries=[entry])
    assert [json.loads(each) for each in wait_for(lambda: heard(cloud, ear))] == [told]
    assert heard(cloud, deaf) == []


DENIES_PLAIN_HTTP = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sns:Publish",
            "Resource": arn("sns", "closed"),
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ],
}
"""A topic's own policy, and all that CDK's enforce_ssl makes of it: the default one is gone."""
