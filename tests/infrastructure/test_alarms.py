"""Alarms: all that the app must be warned of, each with what to do first, and who is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_cloud.ministack.alarms import evaluated_state
from tests.infrastructure.support import ENDPOINT_STACKS as STACKS
from tests.infrastructure.support import G5_ALONE, Resource, Synthesized, synthesize, text_of

ALARM = "AWS::CloudWatch::Alarm"
SUBSCRIBERS = "you@example.com,https://hooks.example.com/alarms"
TOPIC = "arn:<AWS::Partition>:sns:us-east-1:<AWS::AccountId>:sd-alarms"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """With subscribers, and an asynchronous endpoint."""
    return synthesize(
        tmp_path_factory.mktemp("told"),
        **G5_ALONE,
        **{
            "sd.alarms.subscribers": SUBSCRIBERS,
            "sd.variants.g5.serve": "real-time,async,bulk",
        },
    )


def alarms(app: Synthesized, *stacks: str) -> Iterator[tuple[str, Resource]]:
    for stack, alarm in app.every(ALARM):
        if not stacks or stack in stacks:
            yield stack, alarm["Properties"]


def of_people(app: Synthesized, *stacks: str) -> Iterator[Resource]:
    """Not those that scale an endpoint or send an update back."""
    for _, alarm in alarms(app, *stacks):
        machine = "newest fleet" in alarm["AlarmDescription"]
        if not machine and alarm.get("MetricName") != "HasBacklogWithoutCapacity":
            yield alarm


def metrics(app: Synthesized, *stacks: str) -> set[tuple[str, str, str]]:
    """(namespace, name, dimensions) of what people are told of."""
    return {
        (
            alarm["Namespace"],
            alarm["MetricName"],
            " ".join(sorted(dimension["Name"] for dimension in alarm["Dimensions"])),
        )
        for alarm in of_people(app, *stacks)
    }


INSTANCES, VARIANT = "/aws/sagemaker/Endpoints", "EndpointName VariantName"


def test_an_endpoint_is_watched_for_errors_time_silence_memory_and_disk(
    aws: Synthesized, variant: str
) -> None:
    """Names and dimensions: SageMaker's developer guide, monitoring-cloudwatch."""
    expected = {
        ("AWS/SageMaker", "Invocation5XXErrors", VARIANT),
        ("AWS/SageMaker", "ModelLatency", VARIANT),
        (INSTANCES, "MemoryUtilization", VARIANT),
        (INSTANCES, "DiskUtilization", VARIANT),
    }
    # There is no metric of Neuron's memory.
    if variant != "inf2":
        expected.add((INSTANCES, "GPUMemoryUtilization", VARIANT))
        expected.add(("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName"))
    assert metrics(aws, STACKS[variant]) == expected


def test_an_asynchronous_endpoint_is_watched_for_its_backlog_s_age(told: Synthesized) -> None:
    """By the endpoint's name alone (async-inference-monitor), and not for silence: it may have no
    instance."""
    endpoint = {"Name": "EndpointName", "Value": "sd-g5-async"}
    found = [a for _, a in alarms(told, "SdG5Stack") if endpoint in a.get("Dimensions", ())]
    age = {"MetricName": "ApproximateAgeOfOldestRequest"}
    backlog = told.only("SdG5Stack", ALARM, age)["Properties"]
    assert backlog["Dimensions"] == [endpoint]
    g5 = told.settings.variant("g5")
    assert backlog["Threshold"] > g5.download_timeout_s + g5.startup_timeout_s
    assert {a["MetricName"] for a in found} >= {"Invocation5XXErrors", "GPUMemoryUtilization"}
    assert not any(a.get("TreatMissingData") == "breaching" for a in found)


def test_the_front_and_the_batches_are_watched(aws: Synthesized) -> None:
    assert metrics(aws, "SdApiStack") == {
        ("AWS/ApiGateway", "5XXError", "ApiName Stage"),
        ("AWS/Lambda", "Errors", "FunctionName"),
    }
    functions = {
        text_of(alarm["Dimensions"][0]["Value"]).strip("<>")
        for _, alarm in alarms(aws, "SdApiStack")
        if alarm["MetricName"] == "Errors"
    }
    handlers = {
        aws.templates["SdApiStack"]["Resources"][name]["Properties"]["Handler"]
        for name in functions
    }
    assert handlers == {"front_door.handler.handler", "authorizer.handler.handler"}
    assert metrics(aws, "SdBatchStack") == {
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName"),
        ("AWS/SQS", "NumberOfMessagesReceived", "QueueName"),
        ("AWS/Events", "TriggeredRules", "RuleName"),
    }
    name, rule = next(
        (name, rule["Properties"])
        for name, rule in aws.resources("SdBatchStack", "AWS::Events::Rule").items()
        if rule["Properties"]["EventPattern"]["detail"]["TrainingJobStatus"] == ["Failed"]
    )
    failed = aws.only("SdBatchStack", ALARM, {"Namespace": "AWS/Events"})["Properties"]
    assert text_of(failed["Dimensions"][0]["Value"]) == f"<{name}>"
    # A rule without a target isn't triggered.
    assert rule["Targets"]


def test_every_queue_of_dead_letters_has_its_alarm(aws: Synthesized) -> None:
    watched = {
        (stack, text_of(alarm["Dimensions"][0]["Value"]).removesuffix(".QueueName>").strip("<"))
        for stack, alarm in alarms(aws)
        if alarm.get("Namespace") == "AWS/SQS"
    }
    dead = {
        (stack, name)
        for stack, template in aws.templates.items()
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::SQS::Queue" and "RedrivePolicy" not in resource["Properties"]
    }
    assert watched == dead


def test_each_alarm_tells_the_topic_and_says_the_first_three_steps(told: Synthesized) -> None:
    found = list(of_people(told))
    assert len(found) > 15
    for alarm in found:
        assert [text_of(action) for action in alarm["AlarmActions"]] == [TOPIC]
        text = text_of(alarm["AlarmDescription"])
        assert re.findall(r"(?<=\. )[123](?=\. [^ ])", text) == ["1", "2", "3"], text
        # With the longest names there may be: an endpoint's has 29 characters more.
        assert len(text) + 3 * 29 <= 1024, text


def test_alarms_that_set_something_else_going_tell_nobody(told: Synthesized) -> None:
    machines = [alarm for _, alarm in alarms(told) if alarm not in list(of_people(told))]
    assert len(machines) == 4
    for alarm in machines:
        assert TOPIC not in [text_of(action) for action in alarm.get("AlarmActions", ())]


def test_slow_is_by_the_variant_s_own_time(aws: Synthesized, variant: str, tmp_path: Path) -> None:
    settings = aws.settings.variant(variant)
    latency = {"MetricName": "ModelLatency", "ExtendedStatistic": "p90"}
    alarm = aws.only(STACKS[variant], ALARM, latency)["Properties"]
    usual_s = (
        settings.seconds_per_step
        * settings.modes.standard.steps
        * settings.scaling.target_concurrency
    )
    assert alarm["Threshold"] == pytest.approx(1.5 * usual_s * 1e6)
    assert (alarm["ExtendedStatistic"], "Statistic" in alarm) == ("p90", False)
    if variant == "g5":
        changed = synthesize(tmp_path, **G5_ALONE, **{"sd.alarms.slow_factor": "20"})
        most = changed.only("SdG5Stack", ALARM, latency)["Properties"]["Threshold"]
        # Nobody waits longer.
        assert most == 29e6


def test_slow_is_a_quarter_of_an_hour_and_not_one_large_request(aws: Synthesized) -> None:
    latency = {"MetricName": "ModelLatency", "ExtendedStatistic": "p90"}
    alarm = aws.only("SdG5Stack", ALARM, latency)["Properties"]
    assert state(alarm, [4.0e6] * 60) == "OK"
    assert state(alarm, [4.0e6] * 55 + [6.0e6] * 5) == "OK"
    assert state(alarm, [6.0e6] * 60) == "ALARM"
    # Nobody called.
    assert state(alarm, []) == "OK"


def test_an_instance_that_is_silent_is_missed_and_one_that_measures_is_not(
    aws: Synthesized,
) -> None:
    silent = {"TreatMissingData": "breaching"}
    alarm = aws.only("SdG5Stack", ALARM, silent)["Properties"]
    assert state(alarm, [40.0] * 50) == "OK"
    assert state(alarm, [40.0] * 44) == "ALARM"
    # Made with the endpoint in service, or it would go off while that is being made.
    name, _ = aws.one("SdG5Stack", "AWS::SageMaker::Endpoint")
    assert name in aws.only("SdG5Stack", ALARM, silent)["DependsOn"]


def state(alarm: Resource, per_minute: list[float]) -> str:
    """In the local cloud's evaluation, 63 minutes after the first of these."""
    start = 1_000_000 * 300.0
    points: list[dict[str, Any]] = [
        {"Timestamp": start + 60 * minute + 1, "Value": value}
        for minute, value in enumerate(per_minute)
    ]
    return evaluated_state({**alarm, "StateValue": "OK"}, points, start + 63 * 60)


def test_a_mail_address_is_subscribed_by_one_setting(aws: Synthesized, told: Synthesized) -> None:
    kind = "AWS::SNS::Subscription"
    assert not aws.resources("SdAlarmsStack", kind)
    found = [each["Properties"] for each in told.resources("SdAlarmsStack", kind).values()]
    assert {(each["Protocol"], each["Endpoint"]) for each in found} == {
        ("email", "you@example.com"),
        ("https", "https://hooks.example.com/alarms"),
    }
    topic, properties = told.one("SdAlarmsStack", "AWS::SNS::Topic")
    assert all(each["TopicArn"] == {"Ref": topic} for each in found)
    assert TOPIC.endswith(f":{properties['Properties']['TopicName']}")


def test_alarms_and_rules_of_this_account_alone_may_publish(aws: Synthesized) -> None:
    """A topic with a policy has no other permission than those in it."""
    policy = aws.only("SdAlarmsStack", "AWS::SNS::TopicPolicy")["Properties"]["PolicyDocument"]
    publishing = [s for s in policy["Statement"] if s["Effect"] == "Allow"]
    services = {s["Principal"]["Service"].split(".")[0] for s in publishing}
    assert services == {"cloudwatch", "events"}
    for statement in publishing:
        account = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        assert statement["Condition"]["StringEquals"] == account


def test_who_is_told_changes_no_other_stack(told: Synthesized, tmp_path: Path) -> None:
    untold = synthesize(tmp_path, **G5_ALONE, **{"sd.variants.g5.serve": "real-time,async,bulk"})
    changed = {s for s in told.templates if told.templates[s] != untold.templates[s]}
    assert changed == {"SdAlarmsStack"}
