"""Entry point: CloudFormation's custom resource requests and CodeBuild's state changes."""

import logging
from functools import cache
from typing import Any

from build_trigger.builds import Builds
from build_trigger.custom_resource import handle_request
from build_trigger.outputs import Outputs
from build_trigger.sending import put_json
from build_trigger.state_change import handle_state_change

log = logging.getLogger()
log.setLevel(logging.INFO)


@cache
def _aws() -> tuple[Builds, Outputs]:
    import boto3

    return Builds(boto3.client("codebuild")), Outputs(boto3.client("s3"), boto3.client("ecr"))


def handler(event: dict[str, Any], _context: object) -> None:
    builds, outputs = _aws()
    if "RequestType" in event:
        handle_request(event, builds, outputs, put_json)
    else:
        handle_state_change(event, builds, outputs, put_json)
