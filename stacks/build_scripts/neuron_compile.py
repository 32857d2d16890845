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

from stacks.build_scripts.follow_job import ENDED, JobFollower
from stacks.build_scripts.s3_folder import copy, delete, list_objects, upload
from stacks.build_scripts.training_job import CompileFailed, TrainingJob, submit

MANIFEST = "manifest.json"
CODE = Path("code")


@dataclass(frozen=True)
class CompileBuild:
    key: str
    job_prefix: str
    """What the names of this key's jobs begin with."""
    bucket: str
    target: str
    """Prefix of the compiled artifact, ending in "/"."""
    work: str
    """Prefix for everything on the way there, ending in "/"."""
    poll_s: float
    job: TrainingJob

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "CompileBuild":
        key, bucket, work = env["SD_KEY"], env["SD_BUCKET"], env["SD_WORK_PREFIX"]
        # Unique to the build, and the same if this step of it is tried again.
        build = hashlib.sha256(env["CODEBUILD_BUILD_ID"].encode()).hexdigest()[:8]
        job = TrainingJob(
            name=f"{env['SD_JOB_PREFIX']}{build}",
            image=env["SD_IMAGE"],
            role_arn=env["SD_ROLE_ARN"],
            instance_type=env["SD_INSTANCE_TYPE"],
            region=env["AWS_REGION"],
            spot=env["SD_SPOT"] == "true",
            max_seconds=int(env["SD_MAX_SECONDS"]),
            weights_uri=f"s3://{bucket}/{env['SD_WEIGHTS_PREFIX']}",
            code_uri=f"s3://{bucket}/{work}code/",
            output_uri=f"s3://{bucket}/{work.rstrip('/')}",
            checkpoints_uri=f"s3://{bucket}/{work}checkpoints/",
            kms_key_arn=env["SD_KMS_KEY_ARN"],
            hyperparameters=json.loads(env["SD_HYPERPARAMETERS"]),
        )
        return cls(
            key=key,
            job_prefix=env["SD_JOB_PREFIX"],
            bucket=bucket,
            target=env["SD_TARGET_PREFIX"],
            work=work,
            poll_s=float(env["SD_POLL_S"]),
            job=job,
        )


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
        upload(s3, code, build.bucket, f"{build.work}code/")
        submit_job(job)
        follower.say(f"started the training job {job.name} on {job.instance_type}")
    output = follower.follow(job)
    publish(s3, build, urlsplit(output).path.lstrip("/"))
    follower.say(f"published s3://{build.bucket}/{build.target}")


def publish(s3: Any, build: CompileBuild, staged: str) -> None:
    """Copies the job's output to the artifact's prefix, the manifest last, and removes it there.

    Raises CompileFailed where the output isn't whole or isn't of this key.
    """
    found = list_objects(s3, build.bucket, staged)
    if MANIFEST not in found:
        raise CompileFailed(f"s3://{build.bucket}/{staged} has no {MANIFEST}")
    body = s3.get_object(Bucket=build.bucket, Key=f"{staged}{MANIFEST}")["Body"].read()
    manifest = json.loads(body)
    if manifest["key"] != build.key:
        raise CompileFailed(f"the output is of the key {manifest['key']}, not {build.key}")
    wrong = [name for name, entry in manifest["files"].items() if found.get(name) != entry["size"]]
    if wrong:
        raise CompileFailed(f"the output lacks, or has in another size: {', '.join(sorted(wrong))}")
    copy(s3, build.bucket, staged, build.target, names=[*sorted(manifest["files"]), MANIFEST])
    delete(s3, build.bucket, staged)


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
    follower = JobFollower(sagemaker, session.client("logs", config=config), build.poll_s, say=_say)
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
