"""Where MiniStack answers other than AWS does and the app would notice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import error_response_json
from ministack.services import ecr
from ministack.services.cloudformation import (
    _stack_events,
    custom_resource,
    engine,
    handlers,
    helpers,
    stacks,
)

WAIT = "AWS::CloudFormation::WaitCondition"
Response = tuple[int, dict[str, str], bytes]


def correct() -> None:
    """Apply all corrections. Once, before anything is served."""
    # Signals and custom resources' answers come back by address: "localhost" may mean ::1.
    custom_resource._HOST = "127.0.0.1"
    iam_actions.extract_resource_arn = parameters_have_a_path(iam_actions.extract_resource_arn)
    stacks._topological_sort = waits_last
    ecr._describe_images = missing_image_is_an_error(ecr._describe_images)
    describing = handlers._ACTION_HANDLERS["DescribeStackResource"]
    handlers._ACTION_HANDLERS["DescribeStackResource"] = resources_under_way(describing)


def resources_under_way(
    describe: Callable[[Mapping[str, Any]], Response],
) -> Callable[[Mapping[str, Any]], Response]:
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


def missing_image_is_an_error(
    describe: Callable[[Mapping[str, Any]], Response],
) -> Callable[[Mapping[str, Any]], Response]:
    """DescribeImages: ImageNotFoundException for an image that is not there, not a short list."""

    def wrapped(request: Mapping[str, Any]) -> Response:
        name = request.get("repositoryName", "")
        for wanted in request.get("imageIds") or []:
            if name in ecr._repositories and ecr._find_image(name, wanted) is None:
                shown = ", ".join(f"{key}:'{value}'" for key, value in wanted.items())
                refused: Response = error_response_json(
                    "ImageNotFoundException",
                    f"The image with imageId {{{shown}}} does not exist within the repository "
                    f"with name '{name}' in the registry with id '{ecr._registry_id()}'",
                    400,
                )
                return refused
        return describe(request)

    return wrapped


def parameters_have_a_path(resource_arn: Callable[..., str]) -> Callable[..., str]:
    """GetParametersByPath is allowed on the path it names, where MiniStack asks for "*", and what
    names a log stream on that, not on its group (Service Authorization Reference)."""

    def wrapped(
        service: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query_params: Mapping[str, Any],
        region: str,
        account_id: str,
    ) -> str:
        if service == "ssm" and headers.get("x-amz-target", "").endswith(".GetParametersByPath"):
            folder = json.loads(body or b"{}").get("Path", "/")
            return f"arn:aws:ssm:{region}:{account_id}:parameter{folder}"
        arn = resource_arn(service, method, path, headers, body, query_params, region, account_id)
        stream = json.loads(body or b"{}").get("logStreamName") if service == "logs" else None
        return f"{arn}:log-stream:{stream}" if stream else arn

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
