"""The deploy that a request came from: whether it still wants it, and how to go on with it in
another invocation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError


@dataclass(frozen=True)
class Deploys:
    """Wraps boto3 clients of CloudFormation and Lambda; `function` is this function's name."""

    cloudformation: Any
    functions: Any
    function: str

    def wants(self, event: Mapping[str, Any]) -> bool:
        """Whether the resource that the event asks for is still being made."""
        try:
            described = self.cloudformation.describe_stack_resource(
                StackName=event["StackId"], LogicalResourceId=event["LogicalResourceId"]
            )
        except ClientError as error:
            # How it says that there is no such resource (any more).
            if error.response["Error"]["Code"] == "ValidationError":
                return False
            raise
        status = described["StackResourceDetail"]["ResourceStatus"]
        return status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")

    def hand_over(self, event: Mapping[str, Any]) -> None:
        """Has this function called with the event once more, without waiting for it."""
        self.functions.invoke(
            FunctionName=self.function, InvocationType="Event", Payload=json.dumps(event).encode()
        )
