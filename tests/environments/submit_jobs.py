"""Makes the compile's training job once for each environment that standard input has, as the build
would: a JSON list of them."""

import json
import sys

import boto3

from stacks.build_scripts.training_job import TrainingJob, submit

# Kept by region: AWS's models take a second to read.
sessions: dict[str, boto3.Session] = {}
for env in json.load(sys.stdin):
    job = TrainingJob.from_env(env)
    submit(job, sessions.setdefault(job.region, boto3.Session(region_name=job.region)))
