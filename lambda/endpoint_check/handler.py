"""Entry point: CloudFormation's requests about the check."""

import logging
import time
from functools import cache
from typing import Any

from cfn_requests.answering import answer_request, patiently
from cfn_requests.sending import put_json
from endpoint_check.check import Check

log = logging.getLogger()
log.setLevel(logging.INFO)


@cache
def _check() -> Check:
    import boto3

    return Check(boto3.client("sagemaker"), boto3.client("s3"))


def handler(event: dict[str, Any], _context: object) -> None:
    answer_request(
        event, lambda: patiently(lambda: _check().carry_out(event), time.sleep), put_json
    )
