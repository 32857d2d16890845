"""Queues, and the functions that they are event sources of, as AWS has them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from tests.fakes.local_account import Statement, allow, arn, client_of_user, wait_for
from tests.fakes.local_function import LocalFunction

CONSUMES = "sqs:ReceiveMessage sqs:DeleteMessage sqs:GetQueueAttributes"
SAYS_IT = """
import json
def handler(event, context):
    print(json.dumps([record["body"] for record in event["Records"]]))
"""
ANSWERS = """
import json
def handler(event, context):
    first = event["Records"][0]
    print(json.dumps([first["body"], first["attributes"]["ApproximateReceiveCount"]]))
    return json.loads(first["body"]).get("answer", {})
"""
COUNTS_ON = """
import boto3, json, os
def handler(event, context):
    number = int(event["Records"][0]["body"]) + 1
    print(json.dumps([number]))
    if number == 60:
        boto3.client("lambda").invoke(FunctionName="hears", Payload=b"{}")
    if number % 30:
        boto3.client("sqs").send_message(
            QueueUrl=os.environ["QUEUE"], MessageBody=str(number), MessageGroupId=str(number),
            MessageDeduplicationId=str(number),
        )
"""
# Which of them ran at the same time, by the clock of this machine.
TAKES_A_WHILE = """
import json, time
def handler(event, context):
    began = time.time()
    time.sleep(1)
    group = event["Records"][0]["attributes"]["MessageGroupId"]
    print(json.dumps([group, event["Records"][0]["body"], began, time.time()]))
"""


def make_queue(cloud: ChildCloud, name: str, visibility_s: int = 30, **attributes: str) -> str:
    """Its URL. First in, first out."""
    attributes |= {"FifoQueue": "true", "VisibilityTimeout": str(visibility_s)}
    created = cloud.client("sqs").create_queue(QueueName=f"{name}.fifo", Attributes=attributes)
    return str(created["QueueUrl"])


def queue_arn(name: str) -> str:
    return arn("sqs", f"{name}.fifo")


def consumes(name: str) -> Statement:
    return allow(CONSUMES, queue_arn(name))


def send(cloud: ChildCloud, queue: str, body: str, group: str = "g", unit: str = "") -> None:
    cloud.client("sqs").send_message(
        QueueUrl=queue, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=unit or body
    )


def map_queue(function: LocalFunction, name: str, **more: Any) -> None:
    """Make the queue its event source, a message at a time."""
    function.client.create_event_source_mapping(
        FunctionName=function.name, EventSourceArn=queue_arn(name), BatchSize=1, **more
    )


def messages(cloud: ChildCloud, queue: str) -> dict[str, int]:
    """How many can be received, and how many were and aren't deleted."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = cloud.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)
    return {name: int(value) for name, value in found["Attributes"].items()}


def metric_is_there(cloud: ChildCloud, name: str, function: str) -> bool:
    found = cloud.client("cloudwatch").list_metrics(
        Namespace="AWS/Lambda",
        MetricName=name,
        Dimensions=[{"Name": "FunctionName", "Value": function}],
    )
    return bool(found["Metrics"])


def gone(cloud: ChildCloud, queue: str) -> bool:
    return not any(messages(cloud, queue).values())


def test_a_unit_sent_twice_is_delivered_once(cloud: ChildCloud) -> None:
    queue = make_queue(cloud, "twice")
    function = LocalFunction(cloud, "twice", SAYS_IT, consumes("twice"))
    map_queue(function, "twice")
    for _ in range(2):
        send(cloud, queue, '"a picture"', unit="line-1")
    send(cloud, queue, '"the last"')
    wait_for(lambda: ['"the last"'] in function.said())
    # Also when the first is long done.
    send(cloud, queue, '"a picture"', unit="line-1")
    send(cloud, queue, '"after it"')
    wait_for(lambda: ['"after it"'] in function.said())
    assert function.said() == [['"a picture"'], ['"the last"'], ['"after it"']]


def test_groups_run_side_by_side_and_each_in_its_order(cloud: ChildCloud) -> None:
    """A mapping's concurrency is its groups' number, or its own maximum where that is less."""
    queue = make_queue(cloud, "slots")
    function = LocalFunction(cloud, "slots", TAKES_A_WHILE, consumes("slots"))
    for number in range(2):
        for group in ("slot-0", "slot-1"):
            send(cloud, queue, f"{group}-{number}", group)
    map_queue(function, "slots", ScalingConfig={"MaximumConcurrency": 10})
    wait_for(lambda: len(function.said()) == 4)
    runs: dict[str, list[Any]] = {"slot-0": [], "slot-1": []}
    for group, body, began, ended in sorted(function.said(), key=lambda run: float(run[2])):
        runs[group].append((body, began, ended))
    for group, done in runs.items():
        assert [body for body, _, _ in done] == [f"{group}-0", f"{group}-1"]
        assert done[0][2] <= done[1][1]
    # Not necessarily the first two: one of the function's processes may start late.
    assert any(
        max(one_began, other_began) < min(one_ended, other_ended)
        for _, one_began, one_ended in runs["slot-0"]
        for _, other_began, other_ended in runs["slot-1"]
    )


def test_a_function_that_calls_itself_by_its_queue_is_stopped_unless_it_may(
    cloud: ChildCloud,
) -> None:
    """After its sixteenth call (developer guide, invocation-recursion)."""
    queue = make_queue(cloud, "loop")
    may_send = allow("sqs:SendMessage", queue_arn("loop"))
    environment = {"Variables": {"QUEUE": queue}}
    hears = LocalFunction(cloud, "hears", "def handler(event, context): print('[0]')")
    may_tell = allow("lambda:InvokeFunction", hears.arn)
    function = LocalFunction(
        cloud, "loop", COUNTS_ON, consumes("loop"), may_send, may_tell, Environment=environment
    )
    map_queue(function, "loop")
    send(cloud, queue, "0")
    wait_for(lambda: metric_is_there(cloud, "RecursiveInvocationsDropped", function.name))
    assert function.said() == [[number] for number in range(1, 17)]

    function.client.put_function_recursion_config(FunctionName=function.name, RecursiveLoop="Allow")
    send(cloud, queue, "30")
    wait_for(lambda: [60] in function.said())
    # Another function is called for the first time in the chain.
    wait_for(lambda: hears.said() == [[0]])


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("named", "named"),
        # "A complete failure": developer guide, services-sqs-errorhandling.
        ("empty", {"batchItemFailures": [{"itemIdentifier": ""}]}),
        ("null", {"batchItemFailures": [{"itemIdentifier": None}]}),
        ("misnamed", {"batchItemFailures": [{"messageId": "1"}]}),
        ("text", "no object"),
    ],
)
def test_what_an_answer_reports_as_failed_comes_again_and_ends_among_the_dead_letters(
    cloud: ChildCloud, kind: str, answer: object
) -> None:
    name = f"fails-{kind}"
    dead = make_queue(cloud, f"{name}-dead")
    redrive = {"deadLetterTargetArn": queue_arn(f"{name}-dead"), "maxReceiveCount": 2}
    queue = make_queue(cloud, name, 10, RedrivePolicy=json.dumps(redrive))
    code = ANSWERS
    if answer == "named":
        code = code.replace(
            'json.loads(first["body"]).get("answer", {})',
            '{"batchItemFailures": [{"itemIdentifier": first["messageId"]}]}',
        )
    # So that the next try doesn't take the visibility time-out, which is at least the function's.
    again = 'boto3.client("sqs").change_message_visibility(QueueUrl=QUEUE, VisibilityTimeout=1,'
    code = code.replace(
        "    return", f'    {again} ReceiptHandle=first["receiptHandle"])\n    return'
    )
    code = f"import boto3\nQUEUE = {queue!r}\n{code}"
    changes = allow("sqs:ChangeMessageVisibility", queue_arn(name))
    function = LocalFunction(cloud, name, code, consumes(name), changes)
    map_queue(function, name, FunctionResponseTypes=["ReportBatchItemFailures"])
    body = json.dumps({"answer": answer})
    send(cloud, queue, body)
    wait_for(lambda: messages(cloud, dead)["ApproximateNumberOfMessages"] == 1)
    assert function.said() == [[body, "1"], [body, "2"]]
    assert gone(cloud, queue)


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": []}])
def test_an_answer_that_reports_nothing_is_a_success(cloud: ChildCloud, answer: object) -> None:
    name = f"succeeds-{len(json.dumps(answer))}"
    queue = make_queue(cloud, name)
    function = LocalFunction(cloud, name, ANSWERS, consumes(name))
    map_queue(function, name, FunctionResponseTypes=["ReportBatchItemFailures"])
    send(cloud, queue, json.dumps({"answer": answer}))
    wait_for(lambda: function.said() and gone(cloud, queue))


def test_a_function_that_fails_blocks_its_group_and_no_other(cloud: ChildCloud) -> None:
    code = SAYS_IT + '    assert event["Records"][0]["body"] != \'"bad"\'\n'
    queue = make_queue(cloud, "blocks", 60)
    function = LocalFunction(cloud, "blocks", code, consumes("blocks"))
    map_queue(function, "blocks")
    send(cloud, queue, '"bad"', "slot-0")
    send(cloud, queue, '"behind it"', "slot-0")
    wait_for(lambda: ['"bad"'] in function.said())
    send(cloud, queue, '"beside it"', "slot-1")
    wait_for(lambda: ['"beside it"'] in function.said())
    wait_for(lambda: messages(cloud, queue)["ApproximateNumberOfMessagesNotVisible"] == 1)
    assert ['"behind it"'] not in function.said()


MAPPING = "AWS::Lambda::EventSourceMapping"


def deploy_mapping(cloud: ChildCloud, function: LocalFunction, name: str) -> str:
    """The reason, where CloudFormation can't."""
    properties = {"FunctionName": function.name, "EventSourceArn": queue_arn(name), "BatchSize": 1}
    template = {"Resources": {"Mapping": {"Type": MAPPING, "Properties": properties}}}
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))

    def ended() -> Mapping[str, Any] | None:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

    assert wait_for(ended)["StackStatus"] != "CREATE_COMPLETE"
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return " ".join(event.get("ResourceStatusReason", "") for event in events)


@pytest.mark.parametrize("by", ["api", "template"])
@pytest.mark.parametrize(
    ("name", "visibility_s", "actions", "sentence"),
    [
        ("hasty", 9, CONSUMES, "visibility timeout: 9 seconds is less than Function timeout: 10 s"),
        (
            "deaf",
            30,
            "sqs:DeleteMessage sqs:GetQueueAttributes",
            "execution role does not have permissions to call ReceiveMessage on SQS",
        ),
        (
            "hoarding",
            30,
            "sqs:ReceiveMessage sqs:GetQueueAttributes",
            "execution role does not have permissions to call DeleteMessage on SQS",
        ),
    ],
)
def test_a_mapping_that_could_not_work_is_refused(
    cloud: ChildCloud, by: str, name: str, visibility_s: int, actions: str, sentence: str
) -> None:
    name = f"{name}-{by}"
    make_queue(cloud, name, visibility_s)
    function = LocalFunction(cloud, name, SAYS_IT, allow(actions, queue_arn(name)))
    if by == "template":
        assert sentence in deploy_mapping(cloud, function, name)
    else:
        with pytest.raises(ClientError, match="InvalidParameterValue") as caught:
            map_queue(function, name)
        assert sentence in str(caught.value)


def test_dead_letters_of_a_fifo_queue_are_a_fifo_queue_s(cloud: ChildCloud) -> None:
    cloud.client("sqs").create_queue(QueueName="plain")
    redrive = {"deadLetterTargetArn": arn("sqs", "plain"), "maxReceiveCount": 2}
    with pytest.raises(ClientError, match="must be same type of queue as the source"):
        make_queue(cloud, "mixed", RedrivePolicy=json.dumps(redrive))
    queue = make_queue(cloud, "later")
    with pytest.raises(ClientError, match="must be same type of queue as the source"):
        cloud.client("sqs").set_queue_attributes(
            QueueUrl=queue, Attributes={"RedrivePolicy": json.dumps(redrive)}
        )


def test_the_messages_of_a_queue_are_a_metric_until_they_are_gone(cloud: ChildCloud) -> None:
    """So a dead-letter queue's alarm goes off, and goes out."""
    queue = make_queue(cloud, "measured")
    send(cloud, queue, "dead")
    cloudwatch, now = cloud.client("cloudwatch"), time.time()

    def each_second(name: str, statistic: str) -> list[float]:
        """Oldest first."""
        metric = {
            "Namespace": "AWS/SQS",
            "MetricName": name,
            "Dimensions": [{"Name": "QueueName", "Value": "measured.fifo"}],
        }
        asked = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 1, "Stat": statistic}}
        found = cloudwatch.get_metric_data(
            MetricDataQueries=[asked],
            StartTime=now - 60,
            EndTime=now + 600,
            ScanBy="TimestampAscending",
        )
        return list(found["MetricDataResults"][0]["Values"])

    visible, received = "ApproximateNumberOfMessagesVisible", "NumberOfMessagesReceived"
    wait_for(lambda: each_second(visible, "Minimum")[:1] == [1.0])
    assert 1.0 not in each_second(received, "Maximum")
    (message,) = cloud.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    cloud.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    wait_for(lambda: each_second(visible, "Minimum")[-1:] == [0.0])
    assert 1.0 in each_second(received, "Maximum")


def test_a_batch_of_messages_is_allowed_as_one_is(cloud: ChildCloud) -> None:
    queue, one = make_queue(cloud, "batched"), {"Id": "1", "MessageBody": "a"}
    entry = {**one, "MessageGroupId": "g", "MessageDeduplicationId": "1"}
    actions = "sqs:SendMessage sqs:ReceiveMessage sqs:ChangeMessageVisibility"
    sqs = client_of_user(cloud, "batcher", "sqs", allow(actions, queue_arn("batched")))
    assert sqs.send_message_batch(QueueUrl=queue, Entries=[entry])["Successful"]
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    received = {"Id": "1", "ReceiptHandle": message["ReceiptHandle"]}
    longer = [{**received, "VisibilityTimeout": 60}]
    assert sqs.change_message_visibility_batch(QueueUrl=queue, Entries=longer)["Successful"]
    with pytest.raises(ClientError, match=r"AccessDenied.*sqs:DeleteMessage "):
        sqs.delete_message_batch(QueueUrl=queue, Entries=[received])
