"""Entry point: CloudFormation's custom resource requests and CodeBuild's state changes."""

import logging
import os
from functools import cache
from typing import Any

from build_trigger.builds import Builds
from build_trigger.custom_resource import handle_request
from build_trigger.deploys import Deploys
from build_trigger.jobs import Jobs
from build_trigger.logs import Logs
from build_trigger.outputs import Outputs
from build_trigger.services import Services
from build_trigger.state_change import handle_state_change
from cfn_requests.sending import put_json

log = logging.getLogger()
log.setLevel(logging.INFO)


@cache
def _services() -> Services:
    import boto3

    function = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
    return Services(
        Builds(boto3.client("codebuild")),
        Outputs(boto3.client("s3"), boto3.client("ecr")),
        Jobs(boto3.client("sagemaker")),
        Deploys(boto3.client("cloudformation"), boto3.client("lambda"), function),
        Logs(boto3.client("logs")),
        put_json,
    )


def handler(event: dict[str, Any], _context: object) -> None:
    if "RequestType" in event:
        handle_request(event, _services())
    else:
        handle_state_change(event, _services())
