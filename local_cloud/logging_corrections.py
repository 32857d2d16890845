"""Where AWS refuses to set up logging and MiniStack does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import apigateway_v1, cloudwatch_logs
from ministack.services.cloudformation import provisioners

LOG_GROUP = "AWS::Logs::LogGroup"
STAGE = "AWS::ApiGateway::Stage"
Properties = Mapping[str, Any]


def correct_logging() -> None:
    """Once, before anything is served."""
    handlers = provisioners._RESOURCE_HANDLERS
    handlers[LOG_GROUP]["create"] = existing_group_is_an_error(handlers[LOG_GROUP]["create"])
    create, update = handlers[STAGE]["create"], handlers[STAGE]["update"]

    def create_stage(logical_id: str, props: Properties, stack: str) -> Any:
        check_account_role(props)
        return create(logical_id, props, stack)

    def update_stage(physical_id: str, old: Properties, new: Properties, stack: str) -> Any:
        check_account_role(new)
        return update(physical_id, old, new, stack)

    handlers[STAGE].update(create=create_stage, update=update_stage)


def existing_group_is_an_error(create: Callable[..., Any]) -> Callable[..., Any]:
    """A group that is there already, whoever made it, fails the deploy (the sentence:
    serverless/serverless#10002), where MiniStack empties and takes it."""

    def wrapped(logical_id: str, props: Properties, stack: str) -> Any:
        name = props.get("LogGroupName")
        if name in cloudwatch_logs._log_groups:
            raise ValueError(
                f"Resource of type '{LOG_GROUP}' with identifier "
                f'\'{{"/properties/LogGroupName":"{name}"}}\' already exists.'
            )
        return create(logical_id, props, stack)

    return wrapped


def check_account_role(stage: Properties) -> None:
    """A stage that logs anything needs the role that API Gateway keeps for the whole account (the
    sentence: aws-samples/amazon-bedrock-knowledgebase-slackbot#6)."""
    levels = [setting.get("LoggingLevel", "OFF") for setting in stage.get("MethodSettings") or ()]
    logs = bool(stage.get("AccessLogSetting")) or any(level != "OFF" for level in levels)
    account = apigateway_v1._account_settings.get("settings") or {}
    if logs and not account.get("cloudwatchRoleArn"):
        raise ValueError(
            "CloudWatch Logs role ARN must be set in account settings to enable logging"
        )
