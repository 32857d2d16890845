"""Requests for the services that MiniStack lacks, on their way in: IAM first, then the service."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.concurrency import run_reentrant

from local_cloud.api_shapes import BadRequest
from local_cloud.ministack.answers import Response, answering, refusal
from local_cloud.ministack.identity import denied
from local_cloud.ministack.resource_arns import vectors_arn
from local_cloud.settings import CloudSettings

Control = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""(operation, request) to the answer's members; BadRequest."""
Invoke = Callable[[str, Mapping[str, str], bytes], Response]
"""(endpoint, headers with small letters, body)"""

DEREGISTER = "application-autoscaling:DeregisterScalableTarget"
# User guide, s3-vectors-limitations: 20 MiB (the sentence: open-webui/open-webui#16527).
MAX_VECTORS_BODY = 20 * 2**20
# What takes s3vectors:GetVectors beside the operation's permission (its page in the API reference).
_READING_VECTORS = {
    "QueryVectors": ("filter", "returnMetadata"),
    "ListVectors": ("returnData", "returnMetadata"),
}
# The operations whose request names a role that SageMaker then acts under.
_ROLE_MEMBERS = {"CreateModel": "ExecutionRoleArn", "CreateTrainingJob": "RoleArn"}


class SageMakerRoutes:
    """The HTTP face of the control plane and the runtime. `scales` says of an endpoint whether it
    is registered with Application Auto Scaling."""

    def __init__(
        self,
        settings: CloudSettings,
        control: Control,
        invoke: Invoke,
        invoke_async: Invoke,
        scales: Callable[[str], bool],
    ) -> None:
        self._settings, self._control, self._scales = settings, control, scales
        self._invoke, self._invoke_async = invoke, invoke_async

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
        service, _, operation = headers.get("x-amz-target", "").partition(".")
        if service == "SageMaker":
            return self._control_plane(operation, headers, body)
        match method, *path.strip("/").split("/"):
            case "POST", "endpoints", name, "invocations":
                return self._invoke(name, headers, body)
            case "POST", "endpoints", name, "async-invocations":
                return self._invoke_async(name, headers, body)
        unknown = f"The local cloud has no SageMaker operation at {path}"
        return refusal(BadRequest("UnknownOperationException", unknown, 404))

    def _control_plane(self, operation: str, headers: dict[str, str], body: bytes) -> Response:
        def perform(request: Mapping[str, Any]) -> Mapping[str, Any]:
            self._check_pass_role(operation, request, headers)
            self._check_deregister(operation, request, headers)
            return self._control(operation, request)

        return answering(perform)(json.loads(body or b"{}"))

    def _check_pass_role(
        self, operation: str, request: Mapping[str, Any], headers: dict[str, str]
    ) -> None:
        """Whoever hands SageMaker a role must be allowed to pass it."""
        role = request.get(_ROLE_MEMBERS.get(operation, ""))
        to = {"iam:PassedToService": "sagemaker.amazonaws.com"}
        if isinstance(role, str):
            _check_allowed(self._settings, headers, "iam:PassRole", role, to)

    def _check_deregister(
        self, operation: str, request: Mapping[str, Any], headers: dict[str, str]
    ) -> None:
        """Whoever deletes an endpoint that is scaled must be allowed to deregister it (the
        sentence: awslabs/stable-diffusion-aws-extension#161)."""
        if operation != "DeleteEndpoint" or not self._scales(str(request.get("EndpointName"))):
            return
        caller, action = router.extract_access_key_id(headers, {}), DEREGISTER
        arn = self._settings.arn("application-autoscaling", "scalable-target/*")
        if denied(self._settings, caller, action, arn):
            raise BadRequest(
                "ValidationException",
                "An Application AutoScaling scalable target exists for a variant being deleted, "
                "and the IAM identity used to invoke DeleteEndpoint does not have "
                f"{action} permission to deregister the scalable target.",
            )


def _check_allowed(
    settings: CloudSettings,
    headers: dict[str, str],
    action: str,
    resource: str,
    context: Mapping[str, str] | None = None,
    *,
    status: int = 400,
) -> None:
    """What a request takes beside the permission of its operation."""
    caller = router.extract_access_key_id(headers, {})
    if who := denied(settings, caller, action, resource, context):
        raise BadRequest(
            "AccessDeniedException",
            f"User: {who} is not authorized to perform: {action} on resource: {resource} "
            f"because no identity-based policy allows the {action} action",
            status,
        )


def install_scaling(call: Control) -> None:
    """Route Application Auto Scaling's requests to this, with IAM in front of them."""
    _install_json("application-autoscaling", "AnyScaleFrontendService", call)


def install_service_quotas(call: Control) -> None:
    """The same for Service Quotas."""
    _install_json("servicequotas", "ServiceQuotasV20190624", call)


def _install_json(name: str, target: str, call: Control) -> None:
    """`name` is the service's in IAM's actions, hosts and credentials; `target` begins the header
    that says the operation."""

    async def handle(
        _method: str, _path: str, headers: dict[str, str], body: bytes, _query: Mapping[str, Any]
    ) -> Response:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        result: Response = await run_reentrant(
            answering(lambda request: call(operation, request)),
            json.loads(body or b"{}"),
            thread_name=name,
        )
        return result

    _install(name, f"{target}.", rf"{name}\.", handle)


def install_vectors(settings: CloudSettings, call: Control) -> None:
    """The same for S3 Vectors, whose operations are paths."""

    def perform(operation: str, headers: dict[str, str], body: bytes) -> Mapping[str, Any]:
        if len(body) > MAX_VECTORS_BODY:
            raise BadRequest("ValidationException", "Request body exceeds max allowed size")
        request = json.loads(body or b"{}")
        if any(request.get(member) for member in _READING_VECTORS.get(operation, ())):
            arn = vectors_arn(settings, request)
            _check_allowed(settings, headers, "s3vectors:GetVectors", arn, status=403)
        return call(operation, request)

    async def handle(
        _method: str, path: str, headers: dict[str, str], body: bytes, _query: Mapping[str, Any]
    ) -> Response:
        result: Response = await run_reentrant(
            answering(lambda _: perform(path.strip("/"), headers, body)),
            {},
            thread_name="s3vectors",
        )
        return result

    # No request has a target that begins so.
    _install("s3vectors", "S3Vectors.", r"s3vectors\.", handle)
    iam_actions._BOTOCORE_SERVICE_MAP["s3vectors"] = ["s3vectors"]


def install_sagemaker(routes: SageMakerRoutes) -> None:
    """Route SageMaker's requests to these, with IAM in front of them."""
    _install("sagemaker", "SageMaker.", r"(api|runtime)\.sagemaker\.", routes.handle_request)
    iam_actions._BOTOCORE_SERVICE_MAP["sagemaker"] = ["sagemaker-runtime"]


def _install(service: str, target: str, host: str, handle: Callable[..., Any]) -> None:
    """`target` begins its X-Amz-Target, `host` is a pattern of its address."""
    router.SERVICE_PATTERNS[service] = {
        "target_prefixes": [target],
        "host_patterns": [host],
        "credential_scope": service,
    }
    app.SERVICE_HANDLERS[service] = handle
    iam_actions.SERVICE_TO_IAM_NAMESPACE[service] = service
