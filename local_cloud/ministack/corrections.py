"""Where MiniStack's CloudFormation does other than AWS's and the app would notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import apigateway_v1, cloudwatch_logs
from ministack.services.cloudformation import (
    _stack_events,
    custom_resource,
    engine,
    handlers,
    helpers,
    provisioners,
    stacks,
)

from local_cloud.ministack.answers import Handler, Response

WAIT = "AWS::CloudFormation::WaitCondition"
LOG_GROUP = "AWS::Logs::LogGroup"
STAGE = "AWS::ApiGateway::Stage"
Properties = Mapping[str, Any]


def correct_cloudformation() -> None:
    """Apply all corrections. Once, before anything is served."""
    # Signals and custom resources' answers come back by address: "localhost" may mean ::1.
    custom_resource._HOST = "127.0.0.1"
    stacks._topological_sort = waits_last
    actions, resources = handlers._ACTION_HANDLERS, provisioners._RESOURCE_HANDLERS
    actions["DescribeStackResource"] = resources_under_way(actions["DescribeStackResource"])
    for action in ("DescribeStackResources", "ListStackResources"):
        actions[action] = resources_of_deleted(actions[action])
    resources[LOG_GROUP]["create"] = existing_group_is_an_error(resources[LOG_GROUP]["create"])
    for verb, properties in (("create", 1), ("update", 2)):
        resources[STAGE][verb] = logging_needs_a_role(resources[STAGE][verb], properties)


def resources_of_deleted(describe: Handler) -> Handler:
    """Those of a deleted stack by its id, with what has become of each (API reference,
    ListStackResources: up to 90 days). MiniStack forgets them."""

    def wrapped(params: Mapping[str, Any]) -> Response:
        stack = handlers._resolve_stack(helpers._p(params, "StackName")) or {}
        if stack.get("StackStatus") != "DELETE_COMPLETE":
            return describe(params)
        events = _stack_events.get(stack["StackId"], [])
        last = {event["LogicalResourceId"]: event for event in events}
        last.pop(stack["StackName"], None)
        known, stack["_resources"] = stack["_resources"], last
        try:
            return describe(params)
        finally:
            stack["_resources"] = known

    return wrapped


def resources_under_way(describe: Handler) -> Handler:
    """DescribeStackResource also of a resource that is being made, changed or deleted, by its
    newest event. MiniStack knows one when it's there."""

    def wrapped(params: Mapping[str, Any]) -> Response:
        stack = handlers._resolve_stack(helpers._p(params, "StackName")) or {}
        logical_id = helpers._p(params, "LogicalResourceId")
        events = _stack_events.get(stack.get("StackId"), [])
        newest = next((e for e in reversed(events) if e["LogicalResourceId"] == logical_id), None)
        if newest is None or not newest["ResourceStatus"].endswith("_IN_PROGRESS"):
            return describe(params)
        members = {**newest, "LastUpdatedTimestamp": newest["Timestamp"]}
        names = ("LogicalResourceId", "PhysicalResourceId", "ResourceType", "ResourceStatus",
                 "LastUpdatedTimestamp", "StackName", "StackId")  # fmt: skip
        detail = "".join(f"<{name}>{helpers._esc(members[name])}</{name}>" for name in names)
        answer: Response = helpers._xml(
            200,
            "DescribeStackResourceResponse",
            "<DescribeStackResourceResult><StackResourceDetail>"
            f"{detail}</StackResourceDetail></DescribeStackResourceResult>",
        )
        return answer

    return wrapped


def waits_last(resources: Mapping[str, Any], conditions: Mapping[str, bool]) -> list[str]:
    """A dependency order in which wait conditions come as late as they can.

    AWS makes resources side by side, MiniStack one after the other: a wait for one build would hold
    up the start of the next.
    """
    order: list[str] = engine._topological_sort(resources, conditions)
    left = dict.fromkeys(order)
    needs = {name: engine._extract_deps(resources[name], set(order)) - {name} for name in order}
    result: list[str] = []
    while left:
        ready = [name for name in left if not needs[name] & left.keys()]
        name = next((item for item in ready if resources[item]["Type"] != WAIT), ready[0])
        del left[name]
        result.append(name)
    return result


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


def logging_needs_a_role(handler: Callable[..., Any], properties: int) -> Callable[..., Any]:
    """A stage that logs anything needs the role that API Gateway keeps for the whole account (the
    sentence: aws-samples/amazon-bedrock-knowledgebase-slackbot#6). `properties` is the place of the
    stage's among the handler's arguments."""

    def wrapped(*arguments: Any) -> Any:
        stage = arguments[properties]
        levels = [method.get("LoggingLevel", "OFF") for method in stage.get("MethodSettings") or ()]
        logs = bool(stage.get("AccessLogSetting")) or any(level != "OFF" for level in levels)
        account = apigateway_v1._account_settings.get("settings") or {}
        if logs and not account.get("cloudwatchRoleArn"):
            raise ValueError(
                "CloudWatch Logs role ARN must be set in account settings to enable logging"
            )
        return handler(*arguments)

    return wrapped
