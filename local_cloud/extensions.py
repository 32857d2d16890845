"""Adds the missing services to MiniStack, before it serves.

SageMaker gets its routes, its IAM actions and resource ARNs; CloudFormation the resource types;
CodeBuild a runner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ministack import app as ministack_app
from ministack.core import iam_actions, iam_evaluator, router
from ministack.core.concurrency import run_reentrant

from local_cloud.api_shapes import BadRequest
from local_cloud.sagemaker_control import SageMakerControl
from local_cloud.sagemaker_runtime import HttpAnswer, SageMakerRuntime
from local_cloud.settings import CloudSettings

Response = tuple[int, dict[str, str], bytes]
# The operations whose request names a role that SageMaker then acts under.
_ROLE_MEMBERS = {"CreateModel": "ExecutionRoleArn", "CreateTrainingJob": "RoleArn"}
# Which member of a request names the resource an operation is allowed on, and the ARN's kind.
_RESOURCES = {
    "ModelName": "model",
    "EndpointConfigName": "endpoint-config",
    "EndpointName": "endpoint",
    "TrainingJobName": "training-job",
}


class SageMakerService:
    """The HTTP face of the control plane and the runtime."""

    def __init__(self, control: SageMakerControl, runtime: SageMakerRuntime) -> None:
        self._control, self._runtime = control, runtime

    async def handle_request(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        _query_params: Mapping[str, Any],
    ) -> Response:
        """MiniStack's handler signature. Off the event loop: containers answer when they please."""
        result: Response = await run_reentrant(
            self._handle, method, path, headers, body, thread_name="sagemaker"
        )
        return result

    def _handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Response:
        target = headers.get("x-amz-target", "")
        if target.startswith("SageMaker."):
            return self._control_plane(target.split(".", 1)[1], headers, body)
        parts = path.strip("/").split("/")
        if method == "POST" and len(parts) == 3 and parts[0] == "endpoints":
            answer = self._data_plane(parts[1], parts[2], headers, body)
            return answer.status, answer.headers, answer.body
        return _json_error(404, "UnknownOperationException", f"No SageMaker operation at {path}")

    def _data_plane(
        self, endpoint: str, kind: str, headers: dict[str, str], body: bytes
    ) -> HttpAnswer:
        if kind == "invocations":
            return self._runtime.invoke(endpoint, headers, body)
        status, answer_headers, content = _json_error(
            400, "ValidationError", f"The local cloud has no SageMaker {kind}"
        )
        return HttpAnswer(status, answer_headers, content)

    def _control_plane(self, operation: str, headers: dict[str, str], body: bytes) -> Response:
        try:
            request = json.loads(body or b"{}")
            self._check_pass_role(operation, request, headers)
            answer = self._control.call(operation, request)
        except BadRequest as error:
            return _json_error(error.status, error.code, str(error))
        except ValueError as error:
            return _json_error(400, "SerializationException", str(error))
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(answer).encode()

    def _check_pass_role(
        self, operation: str, request: Mapping[str, Any], headers: dict[str, str]
    ) -> None:
        """Whoever hands SageMaker a role must be allowed to pass it."""
        role = request.get(_ROLE_MEMBERS.get(operation, ""))
        if not isinstance(role, str) or not ministack_app.AUTH:
            return
        denied = iam_evaluator.enforce(
            router.extract_access_key_id(headers, {}),
            "iam:PassRole",
            "sagemaker",
            self._control.settings.region,
            resource_arn=role,
            service_context={"iam:PassedToService": "sagemaker.amazonaws.com"},
        )
        if denied:
            raise BadRequest(
                "AccessDeniedException",
                f"User: {getattr(denied, 'principal_arn', '')} is not authorized to perform: "
                f"iam:PassRole on resource: {role} because no identity-based policy allows the "
                "iam:PassRole action",
            )


def install_sagemaker(settings: CloudSettings, service: SageMakerService) -> None:
    """Route SageMaker's requests to `service`, with IAM in front of it."""
    router.SERVICE_PATTERNS["sagemaker"] = {
        "target_prefixes": ["SageMaker."],
        "host_patterns": [r"(api|runtime)\.sagemaker\."],
        "credential_scope": "sagemaker",
    }
    ministack_app.SERVICE_HANDLERS["sagemaker"] = service.handle_request
    iam_actions.SERVICE_TO_IAM_NAMESPACE["sagemaker"] = "sagemaker"
    iam_actions._BOTOCORE_SERVICE_MAP["sagemaker"] = ["sagemaker-runtime"]
    known = iam_actions.extract_resource_arn

    def extract_resource_arn(
        name: str, method: str, path: str, headers: dict[str, str], body: bytes, *rest: Any
    ) -> str:
        if name == "sagemaker":
            return sagemaker_resource(settings, path, headers, body)
        if name == "codebuild" and (project := _project_of_builds(body)):
            return f"arn:aws:codebuild:{settings.region}:{settings.account}:project/{project}"
        return str(known(name, method, path, headers, body, *rest))

    iam_actions.extract_resource_arn = extract_resource_arn


def _project_of_builds(body: bytes) -> str | None:
    """The project that a request's build ids belong to, which MiniStack doesn't look at.

    A build has no ARN that a policy can name: BatchGetBuilds and StopBuild are allowed on the
    project, which is the part of the id before its colon.
    """
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return None
    builds = request.get("ids") or [request.get("id")]
    return str(builds[0]).rsplit(":", 1)[0] if builds[0] else None


def sagemaker_resource(
    settings: CloudSettings, path: str, headers: Mapping[str, str], body: bytes
) -> str:
    """The ARN an IAM policy must name for this request, "*" where the action has none."""
    place = f"arn:aws:sagemaker:{settings.region}:{settings.account}"
    parts = path.strip("/").split("/")
    if parts[0] == "endpoints" and len(parts) > 1:
        return f"{place}:endpoint/{parts[1].lower()}"
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return "*"
    if "ResourceArn" in request:
        return str(request["ResourceArn"])
    operation = headers.get("x-amz-target", "").split(".")[-1]
    for member, kind in _RESOURCES.items():
        # CreateEndpoint carries a configuration's name too: the operation says which one counts.
        if operation.endswith(kind.title().replace("-", "")) and member in request:
            return f"{place}:{kind}/{str(request[member]).lower()}"
    return "*"


def _json_error(status: int, code: str, message: str) -> Response:
    document = {"__type": code, "message": message, "Message": message}
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}
    return status, headers, json.dumps(document).encode()
