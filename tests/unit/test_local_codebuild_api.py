"""CodeBuild's API as the local cloud has it, through boto3 against a running cloud."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from tests.local_fakes import wait_for


@pytest.fixture(scope="module")
def cloud() -> Iterator[ChildCloud]:
    with ChildCloud() as running:
        iam, codebuild, s3 = (running.client(name) for name in ("iam", "codebuild", "s3"))
        place = "arn:aws:logs:us-east-1:000000000000:log-group:/builds/project"
        statements: list[dict[str, Any]] = [
            {
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": f"{place}:*",
            },
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::source/*"},
        ]
        make_build_role(iam, "build", statements)
        make_build_role(iam, "mute", statements[1:])
        make_build_role(iam, "ours", statements, account="000000000000")
        make_build_role(iam, "theirs", statements, account="111122223333")
        s3.create_bucket(Bucket="source")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("greeting.txt", "hello from the source\n")
        s3.put_object(Bucket="source", Key="a.zip", Body=archive.getvalue())
        for name, role in {
            "project": "build",
            **{r: r for r in ("mute", "ours", "theirs")},
        }.items():
            codebuild.create_project(
                name=name,
                source={"type": "S3", "location": "source/a.zip", "buildspec": SPEC},
                artifacts={"type": "NO_ARTIFACTS"},
                environment={
                    "type": "LINUX_CONTAINER",
                    "image": "aws/codebuild/standard:7.0",
                    "computeType": "BUILD_GENERAL1_SMALL",
                    "environmentVariables": [
                        {"name": "WHO", "value": "the project"},
                        {"name": "DO", "value": "true"},
                    ],
                },
                serviceRole=f"arn:aws:iam::000000000000:role/{role}",
                logsConfig={
                    "cloudWatchLogs": {"status": "ENABLED", "groupName": "/builds/project"}
                },
            )
        yield running


SPEC = """
version: 0.2
phases:
  build:
    commands:
      - cat greeting.txt
      - echo "for $WHO"
      - $DO
"""


def make_build_role(
    iam: Any, name: str, statements: list[dict[str, Any]], account: str = ""
) -> None:
    """With `account`, for CodeBuild on that account's behalf alone."""
    trusted: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": "codebuild.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    if account:
        trusted["Condition"] = {"StringEquals": {"aws:SourceAccount": account}}
    for_role = {"Version": "2012-10-17", "Statement": [trusted]}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(for_role))
    policy = {"Version": "2012-10-17", "Statement": statements}
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))


def finished(cloud: ChildCloud, build_id: str) -> dict[str, Any]:
    codebuild = cloud.client("codebuild")

    def ended() -> Any:
        record = codebuild.batch_get_builds(ids=[build_id])["builds"][0]
        return record["buildStatus"] != "IN_PROGRESS" and record

    record: dict[str, Any] = wait_for(ended)
    return record


def test_a_build_gets_its_source_and_the_overrides_and_logs_to_its_group(
    cloud: ChildCloud,
) -> None:
    started = cloud.client("codebuild").start_build(
        projectName="project",
        environmentVariablesOverride=[{"name": "WHO", "value": "the caller"}],
    )["build"]

    record = finished(cloud, started["id"])

    assert record["buildStatus"] == "SUCCEEDED"
    variables = {v["name"]: v["value"] for v in record["environment"]["environmentVariables"]}
    assert variables == {"WHO": "the caller", "DO": "true"}
    events = cloud.client("logs").get_log_events(
        logGroupName=record["logs"]["groupName"], logStreamName=record["logs"]["streamName"]
    )["events"]
    said = [event["message"] for event in events]
    assert {"hello from the source", "for the caller"} <= set(said)


def test_a_failed_build_says_which_phase_and_why(cloud: ChildCloud) -> None:
    started = cloud.client("codebuild").start_build(
        projectName="project",
        environmentVariablesOverride=[{"name": "DO", "value": "false"}],
    )["build"]

    record = finished(cloud, started["id"])

    phase = next(p for p in record["phases"] if p["phaseType"] == "BUILD")
    assert record["buildStatus"] == "FAILED"
    assert phase["phaseStatus"] == "FAILED"
    assert "exit status 1" in phase["contexts"][0]["message"]


def test_the_same_idempotency_token_starts_nothing_new(cloud: ChildCloud) -> None:
    codebuild = cloud.client("codebuild")
    first = codebuild.start_build(projectName="project", idempotencyToken="t")["build"]["id"]
    again = codebuild.start_build(projectName="project", idempotencyToken="t")["build"]["id"]
    assert again == first


def test_every_change_of_state_is_an_event(cloud: ChildCloud) -> None:
    sqs, events = cloud.client("sqs"), cloud.client("events")
    queue = sqs.create_queue(QueueName="changes")["QueueUrl"]
    pattern = {
        "source": ["aws.codebuild"],
        "detail-type": ["CodeBuild Build State Change"],
        "detail": {"project-name": ["project"]},
    }
    events.put_rule(Name="changes", EventPattern=json.dumps(pattern))
    arn = "arn:aws:sqs:us-east-1:000000000000:changes"
    events.put_targets(Rule="changes", Targets=[{"Id": "1", "Arn": arn}])

    started = cloud.client("codebuild").start_build(
        projectName="project",
        environmentVariablesOverride=[{"name": "DO", "value": "sleep 600"}],
    )["build"]
    wait_for(lambda: running_phase(cloud, started["id"]) == "BUILD")
    cloud.client("codebuild").stop_build(id=started["id"])
    assert finished(cloud, started["id"])["buildStatus"] == "STOPPED"

    seen: list[str] = []

    def both() -> bool:
        for message in sqs.receive_message(QueueUrl=queue).get("Messages", []):
            detail = json.loads(message["Body"])["detail"]
            if detail["build-id"] == started["arn"]:
                seen.append(detail["build-status"])
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return len(seen) == 2

    wait_for(both)
    assert seen == ["IN_PROGRESS", "STOPPED"]


def running_phase(cloud: ChildCloud, build_id: str) -> str:
    found = cloud.client("codebuild").batch_get_builds(ids=[build_id])["builds"][0]
    return str(found["currentPhase"])


def test_a_role_that_may_not_write_the_log_fails_the_build(cloud: ChildCloud) -> None:
    started = cloud.client("codebuild").start_build(projectName="mute")["build"]

    record = finished(cloud, started["id"])

    assert record["buildStatus"] == "FAILED"
    assert "ACCESS_DENIED" in record["phases"][0]["contexts"][0]["message"]


def test_a_role_is_assumed_for_the_account_it_trusts_the_service_with(cloud: ChildCloud) -> None:
    codebuild = cloud.client("codebuild")
    ours, theirs = (codebuild.start_build(projectName=n)["build"] for n in ("ours", "theirs"))

    assert finished(cloud, ours["id"])["buildStatus"] == "SUCCEEDED"
    record = finished(cloud, theirs["id"])
    assert record["buildStatus"] == "FAILED"
    assert "Could not assume role" in record["phases"][0]["contexts"][0]["message"]


def test_a_young_account_s_builds_are_refused_not_queued(cloud: ChildCloud) -> None:
    codebuild = cloud.client("codebuild")
    quota = cloud.state / "faults" / "codebuild-quota"
    quota.parent.mkdir(exist_ok=True)
    slow = [{"name": "DO", "value": "sleep 600"}]
    try:
        quota.write_text("1")
        first = codebuild.start_build(projectName="project", environmentVariablesOverride=slow)
        for limit in ("1", "0"):
            quota.write_text(limit)
            with pytest.raises(ClientError) as caught:
                codebuild.start_build(projectName="project")
            error = caught.value.response["Error"]
            assert error["Code"] == "AccountLimitExceededException"
            assert f"Cannot have more than {limit} builds in queue for the acc" in error["Message"]
        codebuild.stop_build(id=first["build"]["id"])
        finished(cloud, first["build"]["id"])
        quota.write_text("1")
        started = codebuild.start_build(projectName="project")["build"]["id"]
    finally:
        quota.unlink()
    assert finished(cloud, started)["buildStatus"] == "SUCCEEDED"


def test_an_unknown_project_cannot_be_started(cloud: ChildCloud) -> None:
    with pytest.raises(ClientError, match="Project cannot be found"):
        cloud.client("codebuild").start_build(projectName="nothing")
