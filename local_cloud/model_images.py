"""From a Model's container definition to what runs: image, model data, command. Under its role."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local_cloud import aws
from local_cloud.api_shapes import BadRequest
from local_cloud.bridge import RoleSession, RoleUnusable, assume_service_role
from local_cloud.container_command import NotRunnable, choose_command
from local_cloud.endpoint_process import ContainerFailed, ContainerPlan
from local_cloud.image_store import MANIFEST_TYPE, REFERENCE, ImageStore, digest_in
from local_cloud.settings import CloudSettings

SAGEMAKER = "sagemaker.amazonaws.com"


def sagemaker_role(settings: CloudSettings, role_arn: str, session_name: str) -> RoleSession:
    """The role SageMaker acts under; BadRequest where it can't be assumed."""
    try:
        return assume_service_role(settings, role_arn, SAGEMAKER, session_name)
    except RoleUnusable as error:
        raise BadRequest("ValidationException", str(error)) from error


def find_image(settings: CloudSettings, image: str, role: RoleSession) -> str:
    """The digest of an image URI, looked up in ECR under `role`. BadRequest says what is wrong."""
    match = REFERENCE.match(image)
    if match is None:
        raise BadRequest(
            "ValidationException", f'Using non-ECR image "{image}" without Vpc repository access'
        )
    ecr = aws.client(settings, "ecr", role)
    wanted = (
        {"imageDigest": match["digest"]} if match["digest"] else {"imageTag": match["tag"] or ""}
    )
    try:
        ecr.get_authorization_token()
        answer = ecr.batch_get_image(
            registryId=settings.account, repositoryName=match["repository"], imageIds=[wanted]
        )
        found = answer["images"]
        if found:
            # Pulling takes this permission as well; there are no layers to hand out.
            _check_layers(ecr, match["repository"])
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "RepositoryNotFoundException":
            found = []
        else:
            raise BadRequest(
                "ValidationException",
                f"The role {role.role_arn} can't pull {image}: "
                f"{error.response['Error']['Message']}",
            ) from error
    if found and found[0]["imageManifestMediaType"] != MANIFEST_TYPE:
        # amazon-sagemaker-feedback#180, in AWS's words.
        raise BadRequest(
            "ValidationException",
            f"Unsupported manifest media type {found[0]['imageManifestMediaType']} for image "
            f"{image}. Ensure that valid manifest media type is used for specified image.",
        )
    digest = digest_in(found[0]["imageManifest"]) if found else None
    if digest is None:
        raise BadRequest("ValidationException", f"Requested image {image} not found.")
    return digest


def _check_layers(ecr: Any, repository: str) -> None:
    try:
        ecr.get_download_url_for_layer(repositoryName=repository, layerDigest="sha256:" + "0" * 64)
    except ClientError as error:
        if "AccessDenied" in error.response["Error"]["Code"]:
            raise


def check_model_data(
    settings: CloudSettings, container: Mapping[str, Any], role: RoleSession
) -> None:
    """BadRequest unless the role finds something where the container's model data should be."""
    uri = _model_uri(container)
    if uri is None:
        return
    bucket, prefix = aws.split_s3_uri(uri)
    s3 = aws.client(settings, "s3", role)
    try:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("KeyCount", 0)
    except ClientError as error:
        raise BadRequest(
            "ValidationException",
            f"Could not access model data at {uri}. Please ensure that the role "
            f'"{role.role_arn}" exists and that its trust relationship policy allows the action '
            f'"sts:AssumeRole" for the service principal "{SAGEMAKER}". Also ensure that the '
            'role has "s3:GetObject" permissions and that the object is located in '
            f"{settings.region}. ({error.response['Error']['Code']})",
        ) from error
    if not found:
        raise BadRequest("ValidationException", f"Could not find model data at {uri}.")


def plan_container(
    settings: CloudSettings,
    store: ImageStore,
    container: Mapping[str, Any],
    role: RoleSession,
    folder: Path,
    startup_timeout_s: float,
) -> ContainerPlan:
    """Fetch the model data into `folder`/model and say how to run the image. ContainerFailed."""
    digest = find_image(settings, container["Image"], role)
    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    uri = _model_uri(container)
    try:
        if uri is not None:
            s3 = aws.client(settings, "s3", role)
            if _is_archive(container):
                aws.download_archive(s3, uri, model)
            else:
                aws.download_prefix(s3, uri, model)
        command = choose_command(
            store,
            digest,
            entrypoint=(),
        )
    except aws.DownloadErrors as error:
        raise ContainerFailed(f"Failed to download model data from {uri}: {error}") from error
    except (NotRunnable, KeyError) as error:
        raise ContainerFailed(f"Image {container['Image']} can't be run: {error}") from error
    return ContainerPlan(
        command=command,
        model=model,
        environment=dict(container.get("Environment") or {}),
        folder=folder,
        startup_timeout_s=startup_timeout_s,
    )


def _model_uri(container: Mapping[str, Any]) -> str | None:
    if container.get("ModelDataUrl"):
        return str(container["ModelDataUrl"])
    source = (container.get("ModelDataSource") or {}).get("S3DataSource")
    return str(source["S3Uri"]) if source else None


def _is_archive(container: Mapping[str, Any]) -> bool:
    if container.get("ModelDataUrl"):
        return True
    source = container["ModelDataSource"]["S3DataSource"]
    return bool(source["CompressionType"] == "Gzip")


def check_container(container: Mapping[str, Any]) -> None:
    """The rules CreateModel adds to the shape's own. BadRequest."""
    if not container.get("Image"):
        raise BadRequest(
            "ValidationException", "Either a model package or an image must be specified."
        )
    if container.get("ModelDataUrl") and container.get("ModelDataSource"):
        raise BadRequest(
            "ValidationException", "ModelDataUrl and ModelDataSource can't both be specified."
        )
    source = (container.get("ModelDataSource") or {}).get("S3DataSource")
    if source:
        prefix, plain = source["S3DataType"] == "S3Prefix", source["CompressionType"] == "None"
        if prefix and plain and not source["S3Uri"].endswith("/"):
            raise BadRequest(
                "ValidationException",
                f"The S3Uri {source['S3Uri']} must end with a forward slash (/) when S3DataType "
                "is S3Prefix and CompressionType is None.",
            )
    environment = container.get("Environment") or {}
    if len(json.dumps(environment)) > 32 * 1024:
        raise BadRequest("ValidationException", "Environment must be at most 32 KB.")
