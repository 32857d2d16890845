"""The build that starts the training job, follows it and publishes its output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks.build_scripts.follow_job import START_TIMEOUT_S, JobFollower
from stacks.build_scripts.neuron_compile import run
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
    "SD_SUBNETS": "[]",
    "SD_SECURITY_GROUPS": "[]",
    "AWS_REGION": REGION,
    "CODEBUILD_BUILD_ID": "compile:1",
}
JOB = TrainingJob.from_env(ENV)
STAGED = f"{WORK}{JOB.name}/output/model/"


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

    def __call__(self, job: TrainingJob = JOB) -> None:
        sagemaker = self.aws.client("sagemaker")
        follower = JobFollower(
            sagemaker,
            self.aws.client("logs"),
            job.told.poll_s,
            say=self.said.append,
            sleep=self.sleep,
            clock=lambda: self._now,
        )
        run(
            job,
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
def build(aws: FakeAws, tmp_path: Path) -> Run:
    (tmp_path / "inf2").mkdir()
    (tmp_path / "inf2" / "compile.py").write_text("print()")
    return Run(aws, tmp_path)


def lay_out(aws: FakeAws, prefix: str = STAGED) -> None:
    files = {"unet/64x64/model.pt": b"unet", "text_encoder/model.pt": b"text"}
    manifest = {"key": KEY, "files": {name: {"size": len(body)} for name, body in files.items()}}
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
    assert job == JOB
    assert aws.objects[f"{BUCKET}/{WORK}code/{KEY}/inf2/compile.py"] == b"print()"
    assert job.channels["code"] == f"s3://{BUCKET}/{WORK}code/{KEY}/"
    assert published(aws) == ["text_encoder/model.pt", "unet/64x64/model.pt", "manifest.json"]
    # The job's own copy is cleared.
    assert not [name for name in aws.objects if STAGED in name]
    assert build.said[-1] == f"published s3://{BUCKET}/{TARGET}"


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
    again = TrainingJob.from_env(ENV)
    other = TrainingJob.from_env({**ENV, "CODEBUILD_BUILD_ID": "compile:2"})
    assert again.name == JOB.name
    assert other.name != JOB.name
    assert JOB.name.startswith(f"sd-compile-{KEY[:12]}-")
    assert len(JOB.name) <= 63  # CreateTrainingJob's limit


LEFT = f"sd-compile-{KEY[:12]}-left"


def described(**changes: Any) -> dict[str, Any]:
    """DescribeTrainingJob's answer for a job that was told the same as JOB, but for the changes."""

    def channel(name: str, uri: str) -> dict[str, Any]:
        source = {"S3DataType": "S3Prefix", "S3Uri": uri}
        return {"ChannelName": name, "DataSource": {"S3DataSource": source}}

    return {
        "TrainingJobStatus": "InProgress",
        "RoleArn": JOB.told.role_arn,
        "AlgorithmSpecification": {
            "TrainingImage": JOB.told.image,
            "ContainerEntrypoint": list(ENTRY_POINT),
            "ContainerArguments": list(ARGUMENTS),
        },
        "HyperParameters": dict(JOB.told.hyperparameters),
        "InputDataConfig": [channel(name, uri) for name, uri in JOB.channels.items()],
        "OutputDataConfig": {"S3OutputPath": JOB.output_uri, "KmsKeyId": JOB.told.kms_key_arn},
        "CheckpointConfig": {"S3Uri": JOB.checkpoints_uri},
        "ResourceConfig": {"InstanceType": JOB.told.instance_type},
        "StoppingCondition": {"MaxRuntimeInSeconds": JOB.told.max_seconds},
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
    "output key": {"OutputDataConfig": {"S3OutputPath": JOB.output_uri}},
    "network": {"VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}},
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
    assert build.submitted == [JOB]


def test_a_job_that_is_being_stopped_is_waited_for_not_followed(aws: FakeAws, build: Run) -> None:
    aws.jobs = {LEFT: described(TrainingJobStatus="Stopping", then=STOPPED)}
    lay_out(aws)
    build()
    assert aws.named("StopTrainingJob") == []
    assert build.submitted == [JOB]


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
    job = TrainingJob.from_env({**ENV, "SD_SPOT": "true"})
    assert "'ml.trn1.2xlarge for spot training job usage'" in str(quota_too_low(job, "Too many."))


def test_a_job_that_does_not_start_is_stopped(aws: FakeAws, build: Run) -> None:
    message = "Insufficient capacity error from EC2 while launching instances, retrying!"
    aws.states = [in_progress(message)]
    with pytest.raises(CapacityMissing, match=message):
        build()
    assert aws.named("StopTrainingJob") == [{"TrainingJobName": JOB.name}]
    assert len(aws.named("DescribeTrainingJob")) == START_TIMEOUT_S / JOB.told.poll_s + 2


def test_spot_may_wait_for_capacity(aws: FakeAws, build: Run) -> None:
    polls = int(START_TIMEOUT_S / JOB.told.poll_s) + 5
    aws.states = [*([in_progress("waiting")] * polls), COMPLETED]
    lay_out(aws)
    build(TrainingJob.from_env({**ENV, "SD_SPOT": "true"}))
    assert published(aws)[-1] == "manifest.json"


def failed(reason: str) -> dict[str, Any]:
    return {"TrainingJobStatus": "Failed", "FailureReason": reason}


def stopped(secondary: str) -> dict[str, Any]:
    return {**STOPPED, "SecondaryStatus": secondary}


NO_OP = "AlgorithmError: unet/64x64: RuntimeError: no such op, exit code: 1"
KILLED = "AlgorithmError: , exit code: 137"
LARGER = "AlgorithmError: Please use an instance type with more memory, or reduce the size of data"
NO_CAPACITY = "CapacityError: Unable to provision requested ML compute capacity."
MORE = ("ml.trn1.2xlarge", "sd.kinds.neuron.compile.instance_type=ml.trn1.32xlarge", "sizes")
WHERE = "no on-demand ml.trn1.2xlarge for training in us-east-1"


@pytest.mark.parametrize(
    ("state", "error", "parts"),
    [
        (failed(NO_OP), CompileFailed, [f"{JOB.name} failed: {NO_OP}"]),
        # That memory did not suffice, by the container's status or in SageMaker's words.
        (failed(KILLED), CompileFailed, [KILLED, *MORE]),
        (failed(LARGER), CompileFailed, [LARGER, *MORE]),
        (failed(NO_CAPACITY), CapacityMissing, [NO_CAPACITY, WHERE, "No quota helps"]),
        (stopped("MaxRuntimeExceeded"), CompileFailed, ["longer than sd.", ".compile.timeout_min"]),
        (stopped("MaxWaitTimeExceeded"), CompileFailed, ["spot capacity did not suffice"]),
        (stopped("Stopped"), CompileFailed, ["by hand"]),
    ],
)
def test_a_job_that_ends_badly_ends_the_build_at_once_saying_why(
    aws: FakeAws, build: Run, state: dict[str, Any], error: type[CompileFailed], parts: list[str]
) -> None:
    aws.states = [in_progress(started=True), state]
    with pytest.raises(error) as failure:
        build()
    assert [part for part in parts if part not in str(failure.value)] == []
    assert len(aws.named("DescribeTrainingJob")) == 2
    assert published(aws) == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("manifest.json", None, r"has no manifest\.json"),
        ("manifest.json", b'{"key": "another"}', "of the key another"),
        ("unet/64x64/model.pt", b"un", r"another size: unet/64x64/model\.pt"),
    ],
)
def test_publishes_nothing_of_an_output_that_is_not_whole_or_of_another_key(
    aws: FakeAws, build: Run, name: str, content: bytes | None, said: str
) -> None:
    lay_out(aws)
    body = aws.objects.pop(f"{BUCKET}/{STAGED}{name}")
    assert body != content
    if content is not None:
        aws.objects[f"{BUCKET}/{STAGED}{name}"] = content
    with pytest.raises(CompileFailed, match=said):
        build()
    assert published(aws) == []
