"""Roles and users of a local cloud's account, and how a test waits for something there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud

Statement = dict[str, Any]


class Cloud(Protocol):
    """A running one, whoever has started it."""

    @property
    def state(self) -> Path: ...
    def client(self, service: str) -> Any:
        """A boto3 client with the deployer's credentials."""


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:us-east-1:000000000000:{resource}"


def role_arn(name: str) -> str:
    return f"arn:aws:iam::000000000000:role/{name}"


def allow(actions: str, *resources: str) -> Statement:
    """`actions` are separated by spaces."""
    return {"Effect": "Allow", "Action": actions.split(), "Resource": list(resources) or "*"}


def policy(*statements: Statement) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def make_role(cloud: ChildCloud, name: str, service: str, *allowed: Statement, **trust: Any) -> str:
    """Its ARN. `trust` goes into the statement by which it trusts the AWS service."""
    iam = cloud.client("iam")
    trusted = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sts:AssumeRole",
        **trust,
    }
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trusted))
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(*allowed))
    return role_arn(name)


def let_user(cloud: ChildCloud, name: str, *allowed: Statement) -> None:
    cloud.client("iam").put_user_policy(
        UserName=name, PolicyName="p", PolicyDocument=policy(*allowed)
    )


def client_of_user(cloud: ChildCloud, name: str, service: str, *allowed: Statement) -> Any:
    """A boto3 client of a new user who may do this and nothing else."""
    iam = cloud.client("iam")
    iam.create_user(UserName=name)
    if allowed:
        let_user(cloud, name, *allowed)
    keys = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.client(
        service,
        endpoint_url=cloud.settings.url,
        region_name="us-east-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        # Presigned URLs, by default, are still of the version before in some regions.
        config=Config(signature_version="s3v4") if service == "s3" else None,
    )


@contextmanager
def fault(cloud: Cloud, name: str, content: str = "") -> Iterator[None]:
    """AWS's own failures, as the local cloud makes them happen."""
    switch = cloud.state / "faults" / name
    switch.write_text(content)
    try:
        yield
    finally:
        switch.unlink()


def log_lines(cloud: Cloud, group: str, stream: str = "") -> list[str]:
    """Of the streams whose names begin with `stream`, oldest first."""
    # The emulated FilterLogEvents knows no logStreamNamePrefix.
    pages = cloud.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return [
        event["message"]
        for page in pages
        for event in page["events"]
        if event["logStreamName"].startswith(stream)
    ]


def wait_for(question: Any, seconds: float = 60.0, every: float = 0.05) -> Any:
    """The first true answer; the call's own ClientError counts as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if answer := question():
                return answer
        except ClientError:
            pass
        time.sleep(every)
    raise AssertionError("waited in vain")
