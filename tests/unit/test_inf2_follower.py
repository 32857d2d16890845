"""The build that starts the training job, follows it and publishes its output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks.build_scripts.follow_job import START_TIMEOUT_S, JobFollower
from stacks.build_scripts.neuron_compile import CompileBuild, run
from stacks.build_scripts.training_job import (
    ARGUMENTS,
    ENTRY_POINT,
    CapacityMissing,
    CompileFailed,
    QuotaTooLow,
    TrainingJob,
    quota_too_low,
)
from tests.fakes.sagemaker import REGION, STOPPED, FakeAws, fake_aws

KEY = "0123456789abcdef" * 4
BUCKET = "models"
TARGET = f"compiled/{KEY}/"
WORK = "compile-jobs/parts/"
ENV = {
    "SD_KEY": KEY,
    "SD_JOB_PREFIX": f"sd-compile-{KEY[:12]}-",
    "SD_BUCKET": BUCKET,
    "SD_WEIGHTS_PREFIX": "weights/w/",
    "SD_WORK_PREFIX": WORK,
    "SD_TARGET_PREFIX": TARGET,
    "SD_HYPERPARAMETERS": json.dumps({"key": KEY, "sizes": "64x64"}),
    "SD_IMAGE": "123456789012.dkr.ecr.us-east-1.amazonaws.com/neuron:tag",
    "SD_ROLE_ARN": "arn:aws:iam::000000000000:role/compile",
    "SD_INSTANCE_TYPE": "ml.trn1.2xlarge",
    "SD_SPOT": "false",
    "SD_MAX_SECONDS": "3600",
    "SD_KMS_KEY_ARN": "arn:aws:kms:us-east-1:000000000000:key/k",
    "SD_POLL_S": "10",
    "AWS_REGION": REGION,
    "CODEBUILD_BUILD_ID": "compile:1",
}
BUILD = CompileBuild.from_env(ENV)
STAGED = f"{WORK}{BUILD.job.name}/output/model/"


def in_progress(*messages: str, started: bool = False) -> dict[str, Any]:
    return {
        "TrainingJobStatus": "InProgress",
        "SecondaryStatusTransitions": [
            {"Status": "Starting", "StartTime": 0, "StatusMessage": message} for message in messages
        ],
        **({"TrainingStartTime": 1} if started else {}),
    }


COMPLETED = {
    "TrainingJobStatus": "Completed",
    "ModelArtifacts": {"S3ModelArtifacts": f"s3://{BUCKET}/{STAGED.rstrip('/')}"},
}


class Run:
    """One run of the build against the fake; time passes by sleeping alone."""

    def __init__(self, aws: FakeAws, code: Path) -> None:
        self.aws = aws
        self.said: list[str] = []
        self.submitted: list[TrainingJob] = []
        self._code = code
        self._now = 0.0

    def __call__(self, build: CompileBuild = BUILD) -> None:
        sagemaker = self.aws.client("sagemaker")
        follower = JobFollower(
            sagemaker,
            self.aws.client("logs"),
            build.told.poll_s,
            say=self.said.append,
            sleep=self.sleep,
            clock=lambda: self._now,
        )
        run(
            build,
            sagemaker=sagemaker,
            s3=self.aws.client("s3"),
            follower=follower,
            submit_job=self.submit,
            code=self._code,
        )

    def submit(self, job: TrainingJob) -> None:
        if self.aws.refusal:
            raise quota_too_low(job, self.aws.refusal[1])
        self.submitted.append(job)

    def sleep(self, seconds: float) -> None:
        self._now += seconds


@pytest.fixture(scope="module")
def server() -> Iterator[FakeAws]:
    with fake_aws() as fake:
        yield fake


@pytest.fixture
def aws(server: FakeAws) -> FakeAws:
    server.forget()
    server.states = [COMPLETED]
    return server


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "inf2").mkdir()
    (tmp_path / "inf2" / "compile.py").write_text("print()")
    return tmp_path


@pytest.fixture
def build(aws: FakeAws, code: Path) -> Run:
    return Run(aws, code)


def lay_out(aws: FakeAws, prefix: str = STAGED, *, key: str = KEY) -> None:
    files = {"unet/64x64/model.pt": b"unet", "text_encoder/model.pt": b"text"}
    manifest = {"key": key, "files": {name: {"size": len(body)} for name, body in files.items()}}
    for name, body in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
        aws.objects[f"{BUCKET}/{prefix}{name}"] = body


def published(aws: FakeAws) -> list[str]:
    """In the order of their making."""
    start = f"{BUCKET}/{TARGET}"
    return [name.removeprefix(start) for name in aws.objects if name.startswith(start)]


def test_starts_a_job_with_the_code_beside_it_and_publishes_its_output(
    aws: FakeAws, build: Run
) -> None:
    lay_out(aws)
    build()
    (job,) = build.submitted
    assert job == BUILD.job
    assert aws.objects[f"{BUCKET}/{WORK}code/{KEY}/inf2/compile.py"] == b"print()"
    assert job.code_uri == f"s3://{BUCKET}/{WORK}code/{KEY}/"
    assert sorted(published(aws)) == [
        "manifest.json",
        "text_encoder/model.pt",
        "unet/64x64/model.pt",
    ]
    assert build.said[-1] == f"published s3://{BUCKET}/{TARGET}"


def test_publishes_the_manifest_last_and_clears_the_job_s_own_copy(
    aws: FakeAws, build: Run
) -> None:
    lay_out(aws)
    build()
    assert published(aws)[-1] == "manifest.json"
    assert not [name for name in aws.objects if STAGED in name]


def test_shows_the_job_s_log_and_states_as_they_come(aws: FakeAws, build: Run) -> None:
    lay_out(aws)
    aws.log = ["one", "two", "three"]
    aws.states = [
        in_progress("Launching"),
        in_progress("Launching", "Preparing", started=True),
        COMPLETED,
    ]
    build()
    assert build.said[1:-1] == ["one", "[Starting] Launching", "two", "three"]


def test_a_job_s_name_is_its_key_s_and_its_build_s() -> None:
    again = CompileBuild.from_env(ENV)
    other = CompileBuild.from_env({**ENV, "CODEBUILD_BUILD_ID": "compile:2"})
    assert again.job.name == BUILD.job.name
    assert other.job.name != BUILD.job.name
    assert BUILD.job.name.startswith(f"sd-compile-{KEY[:12]}-")
    assert len(BUILD.job.name) <= 63  # CreateTrainingJob's limit


LEFT = f"sd-compile-{KEY[:12]}-left"


def described(**changes: Any) -> dict[str, Any]:
    """DescribeTrainingJob's answer for a job that was told the same as BUILD's, but for the
    changes."""
    job = BUILD.job

    def channel(name: str, uri: str) -> dict[str, Any]:
        source = {"S3DataType": "S3Prefix", "S3Uri": uri}
        return {"ChannelName": name, "DataSource": {"S3DataSource": source}}

    return {
        "TrainingJobStatus": "InProgress",
        "RoleArn": job.role_arn,
        "AlgorithmSpecification": {
            "TrainingImage": job.image,
            "ContainerEntrypoint": list(ENTRY_POINT),
            "ContainerArguments": list(ARGUMENTS),
        },
        "HyperParameters": dict(job.hyperparameters),
        "InputDataConfig": [channel(name, uri) for name, uri in job.channels.items()],
        "OutputDataConfig": {"S3OutputPath": job.output_uri, "KmsKeyId": job.kms_key_arn},
        "CheckpointConfig": {"S3Uri": job.checkpoints_uri},
        "ResourceConfig": {"InstanceType": job.instance_type},
        "StoppingCondition": {"MaxRuntimeInSeconds": job.max_seconds},
        **changes,
    }


def test_follows_a_job_that_a_killed_build_left_running(aws: FakeAws, build: Run) -> None:
    ended = f"sd-compile-{KEY[:12]}-ended"
    output = f"s3://{BUCKET}/{WORK}{LEFT}/output/model/"
    aws.jobs = {
        ended: described(TrainingJobStatus="Failed"),
        LEFT: described(then={**COMPLETED, "ModelArtifacts": {"S3ModelArtifacts": output}}),
    }
    lay_out(aws, f"{WORK}{LEFT}/output/model/")
    build()
    assert build.submitted == []
    assert aws.named("StopTrainingJob") == []
    assert published(aws)[-1] == "manifest.json"


OTHER = {
    "role": {"RoleArn": "arn:aws:iam::000000000000:role/of-a-deploy-rolled-back"},
    "image": {"AlgorithmSpecification": {"TrainingImage": "another"}},
    "hyperparameters": {"HyperParameters": {"key": KEY, "sizes": "512x512"}},
    "instance": {"ResourceConfig": {"InstanceType": "ml.trn1.32xlarge"}},
    "spot": {"EnableManagedSpotTraining": True},
    "time limit": {"StoppingCondition": {"MaxRuntimeInSeconds": 60}},
    "channels": {"InputDataConfig": []},
    "output key": {"OutputDataConfig": {"S3OutputPath": BUILD.job.output_uri}},
    "checkpoints": {"CheckpointConfig": {"S3Uri": "s3://elsewhere"}},
}


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_a_job_that_was_told_something_else_is_stopped_and_seen_out(
    aws: FakeAws, build: Run, change: dict[str, Any]
) -> None:
    """It would fail without its role, or compile something else; and the account may have one."""
    aws.jobs = {LEFT: described(**change)}
    lay_out(aws)
    build()
    assert aws.named("StopTrainingJob") == [{"TrainingJobName": LEFT}]
    assert aws.jobs[LEFT]["TrainingJobStatus"] == "Stopped"
    assert build.submitted == [BUILD.job]


def test_a_job_that_is_being_stopped_is_waited_for_not_followed(aws: FakeAws, build: Run) -> None:
    aws.jobs = {LEFT: described(TrainingJobStatus="Stopping", then=STOPPED)}
    lay_out(aws)
    build()
    assert aws.named("StopTrainingJob") == []
    assert build.submitted == [BUILD.job]


def test_a_job_that_does_not_stop_is_not_waited_for_for_ever(aws: FakeAws, build: Run) -> None:
    aws.jobs = {LEFT: described(TrainingJobStatus="Stopping")}
    with pytest.raises(CompileFailed, match=f"{LEFT} of an earlier deploy.* has not stopped"):
        build()
    assert build.submitted == []


def test_a_job_of_another_key_is_left_alone(aws: FakeAws, build: Run) -> None:
    aws.jobs = {f"mine-{LEFT}": described(RoleArn="another")}
    lay_out(aws)
    build()
    assert aws.named("StopTrainingJob") == []


@pytest.mark.parametrize(
    "reason",
    [
        "AlgorithmError: , exit code: 137",
        "AlgorithmError: Please use an instance type with more memory, or reduce the size of job "
        "data processed on an instance",
    ],
)
def test_a_job_that_was_killed_says_that_memory_did_not_suffice(
    aws: FakeAws, build: Run, reason: str
) -> None:
    aws.states = [{"TrainingJobStatus": "Failed", "FailureReason": reason}]
    with pytest.raises(CompileFailed) as failure:
        build()
    larger = "sd.kinds.neuron.compile.instance_type=ml.trn1.32xlarge"
    for part in (reason, "ml.trn1.2xlarge", larger, "sizes"):
        assert part in str(failure.value)


def test_a_failed_job_s_reason_is_the_build_s(aws: FakeAws, build: Run) -> None:
    reason = "AlgorithmError: unet/64x64: RuntimeError: no such op, exit code: 1"
    aws.states = [
        in_progress(started=True),
        {"TrainingJobStatus": "Failed", "FailureReason": reason},
    ]
    with pytest.raises(CompileFailed, match=f"{BUILD.job.name} failed: {reason}"):
        build()
    assert published(aws) == []


def test_a_quota_too_low_is_named_with_what_to_request(aws: FakeAws, build: Run) -> None:
    aws.refusal = (
        "ResourceLimitExceeded",
        "The account-level service limit 'ml.trn1.2xlarge for training job usage' is 0 Instances, "
        "with current utilization of 0 Instances and a request delta of 1 Instances.",
    )
    with pytest.raises(QuotaTooLow) as failure:
        build()
    said = str(failure.value)
    assert "The quota 'ml.trn1.2xlarge for training job usage' of Amazon SageMaker" in said
    assert "Request at least 1" in said
    assert "servicequotas" in said
    assert "\n" not in said
    assert len(said) < 900  # what a deploy's error has room for


def test_a_spot_quota_has_its_own_name() -> None:
    job = CompileBuild.from_env({**ENV, "SD_SPOT": "true"}).job
    assert "'ml.trn1.2xlarge for spot training job usage'" in str(quota_too_low(job, "Too many."))


def test_no_capacity_ends_the_build_at_once(aws: FakeAws, build: Run) -> None:
    reason = "CapacityError: Unable to provision requested ML compute capacity."
    aws.states = [{"TrainingJobStatus": "Failed", "FailureReason": reason}]
    with pytest.raises(CapacityMissing) as failure:
        build()
    assert "no on-demand ml.trn1.2xlarge for training in us-east-1" in str(failure.value)
    assert reason in str(failure.value)
    assert "No quota helps" in str(failure.value)
    assert len(aws.named("DescribeTrainingJob")) == 1


def test_a_job_that_does_not_start_is_stopped(aws: FakeAws, build: Run) -> None:
    message = "Insufficient capacity error from EC2 while launching instances, retrying!"
    aws.states = [in_progress(message)]
    with pytest.raises(CapacityMissing, match=message):
        build()
    assert aws.named("StopTrainingJob") == [{"TrainingJobName": BUILD.job.name}]
    assert len(aws.named("DescribeTrainingJob")) == START_TIMEOUT_S / BUILD.told.poll_s + 2


def test_spot_may_wait_for_capacity(aws: FakeAws, build: Run) -> None:
    polls = int(START_TIMEOUT_S / BUILD.told.poll_s) + 5
    aws.states = [*([in_progress("waiting")] * polls), COMPLETED]
    lay_out(aws)
    build(CompileBuild.from_env({**ENV, "SD_SPOT": "true"}))
    assert published(aws)[-1] == "manifest.json"


@pytest.mark.parametrize(
    ("secondary", "said"),
    [
        ("MaxRuntimeExceeded", "longer than sd.kinds.neuron.compile.timeout_min"),
        ("MaxWaitTimeExceeded", "spot capacity did not suffice"),
        ("Stopped", "by hand"),
    ],
)
def test_a_stopped_job_fails_the_build_saying_why(
    aws: FakeAws, build: Run, secondary: str, said: str
) -> None:
    aws.states = [{"TrainingJobStatus": "Stopped", "SecondaryStatus": secondary}]
    with pytest.raises(CompileFailed, match=said):
        build()


def test_publishes_nothing_of_an_output_without_a_manifest(aws: FakeAws, build: Run) -> None:
    lay_out(aws)
    del aws.objects[f"{BUCKET}/{STAGED}manifest.json"]
    with pytest.raises(CompileFailed, match=r"has no manifest\.json"):
        build()
    assert published(aws) == []


def test_publishes_nothing_of_an_output_that_is_not_whole(aws: FakeAws, build: Run) -> None:
    lay_out(aws)
    aws.objects[f"{BUCKET}/{STAGED}unet/64x64/model.pt"] = b"un"
    with pytest.raises(CompileFailed, match=r"another size: unet/64x64/model\.pt"):
        build()
    assert published(aws) == []


def test_publishes_nothing_of_another_key(aws: FakeAws, build: Run) -> None:
    lay_out(aws, key="another")
    with pytest.raises(CompileFailed, match="of the key another"):
        build()
    assert published(aws) == []
