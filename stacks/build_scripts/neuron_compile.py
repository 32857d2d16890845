"""Compiles for Inferentia2: starts a SageMaker training job, follows it, publishes its output.

A job that runs for the same key already, left behind by a build that was killed, is followed
instead of starting a second one where it was told the very same; else it is stopped. CodeBuild
kills a build without a signal, so stopping this build's own job is left to the step's trigger.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stacks.build_scripts.cpu_compile import CODE, MANIFEST
from stacks.build_scripts.follow_job import ENDED, JobFollower
from stacks.build_scripts.s3_folder import copy, delete, list_objects, upload
from stacks.build_scripts.training_job import CompileFailed, TrainingJob, submit


def run(
    job: TrainingJob,
    *,
    sagemaker: Any,
    s3: Any,
    follower: JobFollower,
    submit_job: Callable[[TrainingJob], None],
    code: Path = CODE,
) -> None:
    """Raises CompileFailed; then nothing has been published."""
    bucket, left = job.told.bucket, _left(sagemaker, job)
    if left.own:
        follower.say(f"following the training job {left.own}, which runs already")
        job = replace(job, name=left.own)
    for name in left.others:
        follower.see_out(name)
    if not left.own:
        upload(s3, code, bucket, job.code_prefix)
        submit_job(job)
        follower.say(f"started the training job {job.name} on {job.told.instance_type}")
    output = follower.follow(job)
    publish(s3, job, urlsplit(output).path.lstrip("/"))
    follower.say(f"published s3://{bucket}/{job.told.target_prefix}")


def publish(s3: Any, job: TrainingJob, staged: str) -> None:
    """Copies the job's output to the artifact's prefix, the manifest last, and removes it there.

    Raises CompileFailed where the output isn't whole or isn't of this key.
    """
    bucket, target = job.told.bucket, job.told.target_prefix
    found = list_objects(s3, bucket, staged)
    if MANIFEST not in found:
        raise CompileFailed(f"s3://{bucket}/{staged} has no {MANIFEST}")
    body = s3.get_object(Bucket=bucket, Key=f"{staged}{MANIFEST}")["Body"].read()
    manifest = json.loads(body)
    if manifest["key"] != job.key:
        raise CompileFailed(f"the output is of the key {manifest['key']}, not {job.key}")
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


def _left(sagemaker: Any, job: TrainingJob) -> Left:
    # All of them, newest first: asked for those in progress, the API looks at one page alone.
    pages = sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains=job.prefix, SortOrder="Descending"
    )
    own, others = None, []
    for summary in (each for page in pages for each in page["TrainingJobSummaries"]):
        name, status = summary["TrainingJobName"], summary["TrainingJobStatus"]
        if status not in ENDED and name.startswith(job.prefix):
            described = sagemaker.describe_training_job(TrainingJobName=name)
            if own is None and status == "InProgress" and job.is_described_by(described):
                own = name
            else:
                others.append(name)
    return Left(own, tuple(others))


def _say(line: str) -> None:
    print(line, flush=True)


def main(env: Mapping[str, str] = os.environ) -> int:
    import boto3
    from botocore.config import Config

    job = TrainingJob.from_env(env)
    session = boto3.Session(region_name=job.region)
    config = Config(retries={"mode": "standard", "max_attempts": 10})
    sagemaker = session.client("sagemaker", config=config)
    logs = session.client("logs", config=config)
    follower = JobFollower(sagemaker, logs, job.told.poll_s, say=_say)
    try:
        run(
            job,
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
