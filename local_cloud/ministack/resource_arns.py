"""What a request must be allowed, on which resource and under which conditions, where MiniStack
doesn't know or says another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ministack.core import iam_actions

from local_cloud.settings import CloudSettings

# Which member of a request names the resource an operation is allowed on, and the ARN's kind.
_SAGEMAKER = {
    "ModelName": "model",
    "EndpointConfigName": "endpoint-config",
    "EndpointName": "endpoint",
    "TrainingJobName": "training-job",
}


def install_resource_arns(settings: CloudSettings) -> None:
    """Once, before anything is served."""
    known = iam_actions.extract_resource_arn

    def extract(
        service: str, method: str, path: str, headers: Mapping[str, str], body: bytes, *rest: Any
    ) -> str:
        said = str(known(service, method, path, headers, body, *rest))
        return corrected_arn(settings, said, service, path, headers, body)

    tags = iam_actions.request_tag_context

    def context(service: str, action: str, body: bytes, *rest: Any) -> dict[str, Any]:
        return {**tags(service, action, body, *rest), **event_context(action, body)}

    action_of = iam_actions.extract_iam_action

    def action(*arguments: Any) -> str | None:
        said: str | None = action_of(*arguments)
        # A batch of SQS's is allowed as one is: it has no action of its own (Service Authorization
        # Reference).
        return said.removesuffix("Batch") if said and said.startswith("sqs:") else said

    iam_actions.extract_iam_action = action
    iam_actions.extract_resource_arn = extract
    iam_actions.request_tag_context = context


def event_context(action: str, body: bytes) -> dict[str, str]:
    """PutEvents' condition keys (EventBridge user guide, eb-use-conditions), of entries that are
    alike; those of several sources are no source's here."""
    if action != "events:PutEvents":
        return {}
    entries = json.loads(body or b"{}").get("Entries") or []
    members = {"events:source": "Source", "events:detail-type": "DetailType"}
    return {
        key: " ".join(sorted({str(entry.get(member)) for entry in entries}))
        for key, member in members.items()
    }


def corrected_arn(
    settings: CloudSettings,
    said: str,
    service: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
) -> str:
    """AWS's, where MiniStack has `said` this one; "*" where the action has none."""
    if service not in ("sagemaker", "codebuild", "ssm", "ecr", "logs", "s3vectors"):
        return said
    parts = path.strip("/").split("/")
    if service == "sagemaker" and parts[0] == "endpoints" and len(parts) > 1:
        return settings.arn("sagemaker", f"endpoint/{parts[1].lower()}")
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return said
    if service == "s3vectors":
        return vectors_arn(settings, request)
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    if service == "sagemaker":
        for member, kind in _SAGEMAKER.items():
            # CreateEndpoint carries a configuration's name too: the operation says which counts.
            if operation.endswith(kind.title().replace("-", "")) and member in request:
                return settings.arn("sagemaker", f"{kind}/{str(request[member]).lower()}")
        return "*"
    if service == "codebuild" and (builds := request.get("ids") or [request.get("id")])[0]:
        # A build has no ARN that a policy can name: BatchGetBuilds and StopBuild are allowed on
        # the project, which is the part of the id before its colon.
        return settings.arn("codebuild", f"project/{str(builds[0]).rsplit(':', 1)[0]}")
    if service == "logs" and (stream := request.get("logStreamName")):
        # On the stream, not on its group (Service Authorization Reference).
        return f"{said}:log-stream:{stream}"
    if service == "ssm" and operation == "GetParametersByPath":
        return settings.arn("ssm", f"parameter{request.get('Path', '/')}")
    if service == "ecr" and said.startswith("arn:") and "registryId" in request:
        # A request that names a registry is allowed on that account's repository.
        before, _, repository = said.rpartition(f":{settings.account}:")
        return f"{before}:{request['registryId']}:{repository}"
    return said


def vectors_arn(settings: CloudSettings, request: Mapping[str, Any]) -> str:
    """Of the index that a request of S3 Vectors names, or else of the vector bucket; "*" where it
    names neither (Amazon S3 user guide, s3-vectors-access-management)."""
    if arn := request.get("indexArn"):
        return str(arn)
    name = request.get("vectorBucketName")
    bucket = request.get("vectorBucketArn") or (
        name and settings.arn("s3vectors", f"bucket/{name}")
    )
    if not bucket:
        return "*"
    return f"{bucket}/index/{request['indexName']}" if request.get("indexName") else str(bucket)
