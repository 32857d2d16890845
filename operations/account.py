"""Clients of an AWS account, and what its errors mean."""

from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

T = TypeVar("T")
Clients = Callable[[str], Any]
"""A boto3 client by service, in the deploy's region."""

Unanswered = (BotoCoreError, ClientError)
"""What a call raises that AWS has refused, or that didn't get there."""

MISSING = frozenset(
    ("404", "NoSuchBucket", "NoSuchEntity", "NoSuchKey", "NotFoundException", "ParameterNotFound",
     "RepositoryNotFoundException", "ResourceNotFoundException")
)  # fmt: skip
# CloudFormation's and SageMaker's codes are those of any bad request.
SAYS_MISSING = ("does not exist", "Could not find")


def means_missing(error: ClientError) -> bool:
    """Whether what was asked for isn't there."""
    said = error.response["Error"]
    return said["Code"] in MISSING or any(words in said["Message"] for words in SAYS_MISSING)


def answer_or_none(ask: Callable[[], T]) -> T | None:
    """What `ask` gives; None where the answer is that there is no such thing."""
    try:
        return ask()
    except ClientError as error:
        if means_missing(error):
            return None
        raise


def is_there(ask: Callable[[], object]) -> bool:
    return answer_or_none(lambda: (ask(),)) is not None


def log_group_exists(logs: Any, name: str) -> bool:
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
    return any(group["logGroupName"] == name for page in pages for group in page["logGroups"])
