"""Compiles for Inferentia2: starts a SageMaker training job, follows it, publishes its output.

A job that runs for the same key already, left behind by a build that was killed, is followed
instead of starting a second one where it was told the very same; else it is stopped. CodeBuild
kills a build without a signal, so stopping this build's own job is left to the step's trigger.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stacks.build_scripts.cpu_compile import CODE, MANIFEST, CompileJob
from stacks.build_scripts.follow_job import ENDED, JobFollower
from stacks.build_scripts.s3_folder import copy, delete, list_objects, upload
from stacks.build_scripts.training_job import CompileFailed, TrainingJob, submit


@dataclass(frozen=True)
class TrainiumJob(CompileJob):
    image: str
    role_arn: str
    instance_type: str
    spot: bool
    max_seconds: int
    kms_key_arn: str
    poll_s: float


@dataclass(frozen=True)
class CompileBuild:
    key: str
    job_prefix: str
    """What the names of this key's jobs begin with."""
    told: TrainiumJob
    job: TrainingJob

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "CompileBuild":
        told = TrainiumJob.from_env(env)
        work = f"s3://{told.bucket}/{told.work_prefix}"
        # Unique to the build, and the same if this step of it is tried again.
        build = hashlib.sha256(env["CODEBUILD_BUILD_ID"].encode()).hexdigest()[:8]
        job = TrainingJob(
            name=f"{env['SD_JOB_PREFIX']}{build}",
            image=told.image,
            role_arn=told.role_arn,
            instance_type=told.instance_type,
            region=env["AWS_REGION"],
            spot=told.spot,
            max_seconds=told.max_seconds,
            weights_uri=f"s3://{told.bucket}/{told.weights_prefix}",
            code_uri=f"{work}code/{env['SD_KEY']}/",
            output_uri=work.rstrip("/"),
            checkpoints_uri=f"{work}checkpoints/",
            kms_key_arn=told.kms_key_arn,
            hyperparameters=told.hyperparameters,
        )
        return cls(env["SD_KEY"], env["SD_JOB_PREFIX"], told, job)


def run(
    build: CompileBuild,
    *,
    sagemaker: Any,
    s3: Any,
    follower: JobFollower,
    submit_job: Callable[[TrainingJob], None],
    code: Path = CODE,
) -> None:
    """Raises CompileFailed; then nothing has been published."""
    job = build.job
    left = _left(sagemaker, build)
    if left.own:
        follower.say(f"following the training job {left.own}, which runs already")
        job = replace(job, name=left.own)
    for name in left.others:
        follower.see_out(name)
    if not left.own:
        upload(s3, code, build.told.bucket, f"{build.told.work_prefix}code/{build.key}/")
        submit_job(job)
        follower.say(f"started the training job {job.name} on {job.instance_type}")
    output = follower.follow(job)
    publish(s3, build, urlsplit(output).path.lstrip("/"))
    follower.say(f"published s3://{build.told.bucket}/{build.told.target_prefix}")


def publish(s3: Any, build: CompileBuild, staged: str) -> None:
    """Copies the job's output to the artifact's prefix, the manifest last, and removes it there.

    Raises CompileFailed where the output isn't whole or isn't of this key.
    """
    bucket, target = build.told.bucket, build.told.target_prefix
    found = list_objects(s3, bucket, staged)
    if MANIFEST not in found:
        raise CompileFailed(f"s3://{bucket}/{staged} has no {MANIFEST}")
    body = s3.get_object(Bucket=bucket, Key=f"{staged}{MANIFEST}")["Body"].read()
    manifest = json.loads(body)
    if manifest["key"] != build.key:
        raise CompileFailed(f"the output is of the key {manifest['key']}, not {build.key}")
    wrong = [name for name, entry in manifest["files"].items() if found.get(name) != entry["size"]]
    if wrong:
        raise CompileFailed(f"the output lacks, or has in another size: {', '.join(sorted(wrong))}")
    copy(s3, bucket, staged, target, names=[*sorted(manifest["files"]), MANIFEST])
    delete(s3, bucket, staged)


@dataclass(frozen=True)
class Left:
    """Jobs of the key that haven't ended: one to follow, and those to be rid of."""

    own: str | None
    others: tuple[str, ...]


def _left(sagemaker: Any, build: CompileBuild) -> Left:
    # All of them, newest first: asked for those in progress, the API looks at one page alone.
    pages = sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains=build.job_prefix, SortOrder="Descending"
    )
    own, others = None, []
    for summary in (each for page in pages for each in page["TrainingJobSummaries"]):
        name, status = summary["TrainingJobName"], summary["TrainingJobStatus"]
        if status not in ENDED and name.startswith(build.job_prefix):
            described = sagemaker.describe_training_job(TrainingJobName=name)
            if own is None and status == "InProgress" and build.job.is_described_by(described):
                own = name
            else:
                others.append(name)
    return Left(own, tuple(others))


def _say(line: str) -> None:
    print(line, flush=True)


def main(env: Mapping[str, str] = os.environ) -> int:
    import boto3
    from botocore.config import Config

    build = CompileBuild.from_env(env)
    session = boto3.Session(region_name=build.job.region)
    config = Config(retries={"mode": "standard", "max_attempts": 10})
    sagemaker = session.client("sagemaker", config=config)
    logs = session.client("logs", config=config)
    follower = JobFollower(sagemaker, logs, build.told.poll_s, say=_say)
    try:
        run(
            build,
            sagemaker=sagemaker,
            s3=session.client("s3", config=config),
            follower=follower,
            submit_job=lambda job: submit(job, session),
        )
    except CompileFailed as failure:
        _say(str(failure))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
