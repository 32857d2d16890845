"""What SageMaker's operations share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from local_cloud.api_shapes import BadRequest, output_members
from local_cloud.ministack.identity import RoleSession, RoleUnusable, assume_service_role
from local_cloud.settings import CloudSettings

Request = Mapping[str, Any]
Answer = dict[str, Any]
Operations = dict[str, Callable[[Request], Answer]]
SERVICE = "sagemaker.amazonaws.com"


def make_arn(settings: CloudSettings, kind: str, name: str) -> str:
    """SageMaker's ARNs carry the name in small letters."""
    return settings.arn("sagemaker", f"{kind}/{name.lower()}")


def invalid(message: str) -> BadRequest:
    """To be raised."""
    return BadRequest("ValidationException", message)


def known_members(operation: str, record: Mapping[str, Any]) -> Answer:
    """What of `record` the operation's answer has."""
    members = output_members("sagemaker", operation)
    return {key: value for key, value in record.items() if key in members}


def sagemaker_role(settings: CloudSettings, role_arn: str) -> RoleSession:
    """The role SageMaker acts under; BadRequest where it can't be assumed."""
    try:
        return assume_service_role(settings, role_arn, SERVICE, "SageMaker")
    except RoleUnusable as error:
        raise invalid(str(error)) from error
