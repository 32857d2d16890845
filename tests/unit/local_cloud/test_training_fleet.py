"""Training jobs of several instances, and managed spot, as the local cloud has them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from tests.fakes.heard_events import HeardEvents
from tests.fakes.local_account import allow, arn, fault, make_role, wait_for
from tests.fakes.training_job import IMAGE, TrainingJob

pytestmark = pytest.mark.usefixtures("training_account")

SPOT: dict[str, Any] = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200},
}


def drawn(job: TrainingJob, hosts: int = 1) -> list[str]:
    """What the log says of the lines, whichever attempt drew them."""
    lines = [line for n in range(hosts) for line in job.log(f"algo-{n + 1}")]
    return [line.removeprefix("draws ") for line in lines if line.startswith("draws ")]


def test_each_instance_has_its_share_of_the_objects_and_knows_the_others(cloud: ChildCloud) -> None:
    job = TrainingJob.of_fleet(cloud, "shares", ["a b", "c", "d", "e", "f"], instances=3)
    assert job.ended()["TrainingJobStatus"] == "Completed"

    by_host: dict[str, list[str]] = {}
    for line, host in job.done().items():
        by_host.setdefault(host, []).append(line)
    assert by_host == {"algo-1": ["a", "b", "e"], "algo-2": ["c", "f"], "algo-3": ["d"]}
    said = dict(line.split(" ", 1) for line in job.log("algo-2") if line[0] in "rc")
    assert json.loads(said["resources"]) == {
        "current_host": "algo-2",
        "hosts": ["algo-1", "algo-2", "algo-3"],
        "network_interface_name": "eth0",
    }
    assert json.loads(said["channels"])["work"]["S3DistributionType"] == "ShardedByS3Key"


def test_an_instance_beyond_the_objects_runs_with_an_empty_share(cloud: ChildCloud) -> None:
    job = TrainingJob.of_fleet(cloud, "idle", ["a"], instances=2)
    assert job.ended()["TrainingJobStatus"] == "Completed"
    assert job.done() == {"a": "algo-1"}
    assert [line.split()[0] for line in job.log("algo-2")] == ["resources", "channels"]


def test_one_instance_that_fails_ends_the_job_for_all(cloud: ChildCloud) -> None:
    job = TrainingJob.of_fleet(
        cloud, "half", ["a", "b"], 2, HyperParameters={"fails": "algo-2", "seconds": "60"}
    )
    described = job.ended()
    assert described["FailureReason"] == "AlgorithmError: no NeuronCore, exit code: 1"
    assert job.done() == {}


def test_a_container_that_is_not_isolated_acts_under_the_job_s_role(cloud: ChildCloud) -> None:
    """As do its other tests, which write what they draw; this role may not."""
    allowed = (
        allow("s3:GetObject s3:ListBucket", "arn:aws:s3:::bucket*"),
        allow("ecr:BatchGetImage ecr:GetDownloadUrlForLayer", arn("ecr", "repository/fleet")),
        allow("ecr:GetAuthorizationToken"),
        allow("logs:CreateLogGroup logs:CreateLogStream logs:PutLogEvents"),
    )
    role = make_role(cloud, "reading", "sagemaker", *allowed)
    job = TrainingJob.of_fleet(cloud, "reads", ["a"], RoleArn=role)
    assert job.ended()["TrainingJobStatus"] == "Failed"
    assert any("AccessDenied" in line and "PutObject" in line for line in job.log())


def test_an_image_that_the_role_can_t_pull_fails_the_job(cloud: ChildCloud) -> None:
    role = make_role(cloud, "pulls-nothing", "sagemaker", allow("s3:GetObject", "arn:aws:s3:::b/*"))
    described = TrainingJob.of_fleet(cloud, "unpulled", ["a"], RoleArn=role).ended()
    assert "Cannot pull algorithm container." in described["FailureReason"]
    assert "BillableTimeInSeconds" not in described


def test_interrupted_spot_training_starts_again_and_loses_what_was_at_hand(
    cloud: ChildCloud,
) -> None:
    lines = [f"{number:02d}" for number in range(24)]
    work = [" ".join(lines[i : i + 4]) for i in range(0, 24, 4)]
    job = TrainingJob.of_fleet(
        cloud, "interrupted", work, 2, HyperParameters={"seconds": "0.3"}, **SPOT
    )
    wait_for(lambda: len(job.done()) >= 8)
    with fault(cloud, "no-spot-capacity", "interrupted"):
        wait_for(lambda: job.described()["SecondaryStatus"] == "Starting")
        done = job.done()
        assert len(done) < 24
    described = job.ended()

    assert job.statuses() == [
        "Starting", "Downloading", "Training", "Interrupted",
        "Starting", "Downloading", "Training", "Uploading", "Completed",
    ]  # fmt: skip
    assert sorted(job.done()) == lines
    again = drawn(job, hosts=2)
    assert set(again) == set(lines)
    assert len(again) <= len(lines) + 2  # what each instance had at hand
    # An instance needn't get the same share again.
    assert {job.done()[line] for line in work[0].split() + work[1].split()} == {"algo-1", "algo-2"}
    assert 1 <= described["BillableTimeInSeconds"] < described["TrainingTimeInSeconds"]


def test_an_interruption_gives_the_container_no_signal(cloud: ChildCloud) -> None:
    job = TrainingJob(cloud, "unwarned", "wait", **SPOT)
    wait_for(lambda: job.log())
    with fault(cloud, "no-spot-capacity", "unwarned"):
        wait_for(lambda: "Interrupted" in job.statuses())
        job.stop()
        described = job.ended()
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Stopped", "Stopped")
    saved = cloud.client("s3").list_objects_v2(Bucket="bucket", Prefix="unwarned/checkpoints/")
    assert [item["Key"] for item in saved["Contents"]] == ["unwarned/checkpoints/unet"]


def test_spot_instances_that_never_come_end_the_job_after_its_wait(cloud: ChildCloud) -> None:
    brief: dict[str, Any] = {
        **SPOT,
        "StoppingCondition": {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1},
    }
    with fault(cloud, "no-spot-capacity"):
        job = TrainingJob.of_fleet(cloud, "never", ["a"], **brief)
        described = job.ended()
        # Those on demand have theirs.
        other = TrainingJob.of_fleet(cloud, "on-demand", ["a"])
        assert other.ended()["TrainingJobStatus"] == "Completed"
    assert described["SecondaryStatus"] == "MaxWaitTimeExceeded"
    assert job.statuses() == ["Starting", "Stopping", "MaxWaitTimeExceeded"]
    assert not {"TrainingStartTime", "BillableTimeInSeconds"} & described.keys()


@pytest.mark.parametrize("most", [None, 599])
def test_spot_training_takes_a_wait_of_at_least_its_runtime(
    cloud: ChildCloud, most: int | None
) -> None:
    limits = {"MaxRuntimeInSeconds": 600} | ({"MaxWaitTimeInSeconds": most} if most else {})
    with pytest.raises(ClientError, match=r"Invalid MaxWaitTimeInSeconds\. It must be present"):
        TrainingJob(cloud, "impatient", **{**SPOT, "StoppingCondition": limits})


def test_spot_has_a_quota_of_its_own(cloud: ChildCloud) -> None:
    with (
        fault(cloud, "training-quota"),
        pytest.raises(ClientError, match=r"'ml.trn1.2xlarge for spot training job usage' is 0"),
    ):
        TrainingJob(cloud, "unlimited", **SPOT)


def test_a_quota_counts_the_jobs_that_run(cloud: ChildCloud) -> None:
    with fault(cloud, "training-quota", "2"):
        running = TrainingJob(cloud, "counted", "wait", **SPOT)
        sentence = (
            "is 2 Instances, with current utilization of 1 Instances and a request delta of 2"
        )
        with pytest.raises(ClientError, match=sentence):
            TrainingJob.of_fleet(
                cloud, "too-many", ["a"], ResourceConfig=resources("ml.trn1.2xlarge", 2), **SPOT
            )
        # Those on demand have a quota of their own.
        TrainingJob.of_fleet(cloud, "others", ["a"], ResourceConfig=resources("ml.trn1.2xlarge", 2))
        running.stop()
        running.ended()
        TrainingJob.of_fleet(
            cloud, "enough", ["a"], ResourceConfig=resources("ml.trn1.2xlarge", 2), **SPOT
        )


def resources(instance_type: str, count: int) -> dict[str, Any]:
    return {"InstanceType": instance_type, "InstanceCount": count, "VolumeSizeInGB": 30}


def test_each_change_of_a_job_is_an_event(cloud: ChildCloud) -> None:
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Training Job State Change"],
        "detail": {"TrainingJobName": [{"prefix": "told-"}]},
    }
    events = HeardEvents(cloud, "job-changes", pattern)

    job = TrainingJob(cloud, "told-of", "fail")
    described = job.ended()

    heard = events.first(len(described["SecondaryStatusTransitions"]))
    details = [event["detail"] for event in heard]
    assert [detail["SecondaryStatus"] for detail in details] == job.statuses()
    assert heard[0]["resources"] == [described["TrainingJobArn"]]
    last = details[-1]
    assert last["TrainingJobStatus"] == "Failed"
    assert last["FailureReason"] == described["FailureReason"]
    assert last["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    started = described["TrainingStartTime"].timestamp() * 1000
    assert last["TrainingStartTime"] == pytest.approx(started, abs=2)
    # What a job cost is asked of DescribeTrainingJob.
    assert not {"BillableTimeInSeconds", "Environment"} & last.keys()
