"""SageMaker training jobs as the local cloud has them, through boto3 against a running cloud."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from tests.fakes.local_account import (
    allow,
    client_of_user,
    fault,
    let_user,
    role_arn,
    wait_for,
)
from tests.fakes.training_job import KEY, OUTPUT, TrainingJob, channel

pytestmark = pytest.mark.usefixtures("training_account")


def test_a_job_gets_its_channels_and_leaves_its_model_uncompressed(cloud: ChildCloud) -> None:
    cloud.client("s3").put_object(Bucket="bucket", Key="good/checkpoints/vae", Body=b"done")

    job = TrainingJob(cloud, "good")
    described = job.ended()

    assert described["TrainingJobStatus"] == "Completed"
    assert described["ModelArtifacts"]["S3ModelArtifacts"] == "s3://bucket/out/good/output/model/"
    facts = json.loads(job.object("out/good/output/model/inner/facts.json"))
    assert facts == {"weights": "numbers", "keys": False}
    assert job.object("good/checkpoints/unet") == "done"
    assert "earlier checkpoints: ['vae']" in job.log()
    assert job.statuses() == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert described["TrainingStartTime"] <= described["TrainingEndTime"]
    assert described["BillableTimeInSeconds"] == described["TrainingTimeInSeconds"] >= 1
    with pytest.raises(ClientError) as caught:
        TrainingJob(cloud, "good")
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"


def test_a_failure_has_the_containers_reason_and_keeps_its_checkpoints(cloud: ChildCloud) -> None:
    job = TrainingJob(cloud, "bad", "fail")
    described = job.ended()

    assert described["TrainingJobStatus"] == "Failed"
    assert described["FailureReason"] == "AlgorithmError: the unet did not trace, exit code: 2"
    assert "ModelArtifacts" not in described
    assert job.object("bad/checkpoints/unet") == "done"


def test_an_output_key_takes_the_role_s_leave_to_encrypt(cloud: ChildCloud) -> None:
    output = {**OUTPUT, "KmsKeyId": KEY}
    refused = TrainingJob(cloud, "keyless", OutputDataConfig=output).ended()
    assert refused["TrainingJobStatus"] == "Failed"
    assert "not authorized to perform: kms:Encrypt" in refused["FailureReason"]

    job = TrainingJob(cloud, "keyed", OutputDataConfig=output, RoleArn=role_arn("encrypting"))
    assert job.ended()["TrainingJobStatus"] == "Completed"


def test_a_stop_lets_the_container_save_what_it_has(cloud: ChildCloud) -> None:
    job = TrainingJob(cloud, "stopped", "wait")
    wait_for(lambda: "TrainingStartTime" in job.described() and job.log())
    assert listed(job, NameContains="stop", StatusEquals="InProgress") == ["stopped"]

    job.stop()

    described = job.ended()
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert job.object("stopped/checkpoints/on-stop") == "saved"
    with pytest.raises(ClientError, match="in status Stopped"):
        job.stop()


@pytest.mark.parametrize(
    ("end", "changes", "secondary", "reason"),
    [
        # A container killed for want of memory says nothing but its status.
        ("killed", {}, "Failed", "AlgorithmError: , exit code: 137"),
        ("well", {"InputDataConfig": [channel("nothing")]}, "Failed", "No data at s3://bucket/n"),
        ("wait", {"StoppingCondition": {"MaxRuntimeInSeconds": 1}}, "MaxRuntimeExceeded", ""),
    ],
)
def test_how_a_job_ends_is_told(
    cloud: ChildCloud, end: str, changes: dict[str, Any], secondary: str, reason: str
) -> None:
    described = TrainingJob(cloud, f"ends-{end}", end, **changes).ended()
    assert described["SecondaryStatus"] == secondary
    assert reason in described.get("FailureReason", "")


def test_a_packed_output_is_refused(cloud: ChildCloud) -> None:
    with pytest.raises(ClientError, match="only an uncompressed output"):
        TrainingJob(cloud, "packed", OutputDataConfig={"S3OutputPath": "s3://bucket/out"})


def listed(job: TrainingJob, **request: Any) -> list[str]:
    """On the first page."""
    found = job.sagemaker.list_training_jobs(**request)["TrainingJobSummaries"]
    return [item["TrainingJobName"] for item in found]


def test_a_page_of_jobs_is_taken_before_their_status_is_looked_at(cloud: ChildCloud) -> None:
    """Asked for one that runs, the API looks at one, whichever comes first."""
    TrainingJob(cloud, "page-ended").ended()
    job = TrainingJob(cloud, "page-runs", "wait")
    wanted = {"NameContains": "page-", "StatusEquals": "InProgress"}

    assert listed(job, **wanted, MaxResults=1) == []
    assert listed(job, **wanted) == ["page-runs"]
    pages = job.sagemaker.get_paginator("list_training_jobs").paginate(
        **wanted, PaginationConfig={"PageSize": 1}
    )
    assert [len(page["TrainingJobSummaries"]) for page in pages] == [0, 1]
    job.stop()


def test_a_job_that_waits_for_an_instance_can_be_stopped(cloud: ChildCloud) -> None:
    with fault(cloud, "training-waits"):
        job = TrainingJob(cloud, "waiting")
        assert job.described()["SecondaryStatus"] == "Starting"
        job.stop()
        described = job.ended()
    assert described["TrainingJobStatus"] == "Stopped"
    assert "TrainingStartTime" not in described


def test_whoever_starts_a_job_must_be_allowed_to_pass_its_role(cloud: ChildCloud) -> None:
    request = {**TrainingJob(cloud, "passed").request, "TrainingJobName": "passed-by-a-user"}
    starts = allow("sagemaker:CreateTrainingJob")
    sagemaker = client_of_user(cloud, "starter", "sagemaker", starts)
    with pytest.raises(ClientError, match=r"user/starter is not .*: iam:PassRole"):
        sagemaker.create_training_job(**request)
    let_user(cloud, "starter", starts, allow("iam:PassRole"))
    sagemaker.create_training_job(**request)
