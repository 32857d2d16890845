"""From a Model's container definition to what runs: image, model data, command. Under its role."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local_cloud import aws
from local_cloud.docker.command import NotRunnable, choose_command
from local_cloud.docker.store import MANIFEST_TYPE, REFERENCE, ImageStore, digest_in
from local_cloud.ministack.identity import RoleSession
from local_cloud.sagemaker.container import ContainerFailed, ContainerPlan
from local_cloud.sagemaker.resources import SERVICE, invalid
from local_cloud.settings import CloudSettings

Definition = Mapping[str, Any]
ENVIRONMENT_BYTES = 32 * 1024


def check_definition(container: Definition) -> None:
    """The rules CreateModel adds to the shape's own. BadRequest."""
    if not container.get("Image"):
        raise invalid(
            "Either a model package or an image must be specified. "
            "(The local cloud takes an image, as PrimaryContainer.)"
        )
    source = (container.get("ModelDataSource") or {}).get("S3DataSource") or {}
    as_files = (source.get("S3DataType"), source.get("CompressionType")) == ("S3Prefix", "None")
    if container.get("ModelDataUrl") or (source and not as_files):
        raise invalid("The local cloud takes model data as an uncompressed S3Prefix alone.")
    if source and not source["S3Uri"].endswith("/"):
        raise invalid(
            f"The S3Uri {source['S3Uri']} must end with a forward slash (/) when S3DataType "
            "is S3Prefix and CompressionType is None."
        )
    if len(json.dumps(container.get("Environment") or {})) > ENVIRONMENT_BYTES:
        raise invalid("Environment must be at most 32 KB.")


def find_image(settings: CloudSettings, image: str, role: RoleSession) -> str:
    """The digest of an image URI, looked up in ECR under `role`. BadRequest says what is wrong."""
    match = REFERENCE.match(image)
    if match is None:
        raise invalid(f'Using non-ECR image "{image}" without Vpc repository access')
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
        if error.response["Error"]["Code"] != "RepositoryNotFoundException":
            raise invalid(
                f"The role {role.role_arn} can't pull {image}: {error.response['Error']['Message']}"
            ) from error
        found = []
    if found and found[0]["imageManifestMediaType"] != MANIFEST_TYPE:
        # amazon-sagemaker-feedback#180, in AWS's words.
        raise invalid(
            f"Unsupported manifest media type {found[0]['imageManifestMediaType']} for image "
            f"{image}. Ensure that valid manifest media type is used for specified image."
        )
    digest = digest_in(found[0]["imageManifest"]) if found else None
    if digest is None:
        raise invalid(f"Requested image {image} not found.")
    return digest


def _check_layers(ecr: Any, repository: str) -> None:
    try:
        ecr.get_download_url_for_layer(repositoryName=repository, layerDigest="sha256:" + "0" * 64)
    except ClientError as error:
        if "AccessDenied" in error.response["Error"]["Code"]:
            raise


def check_model_data(settings: CloudSettings, container: Definition, role: RoleSession) -> None:
    """BadRequest unless the role finds something where the container's model data should be."""
    if (uri := model_uri(container)) is None:
        return
    bucket, prefix = aws.split_s3_uri(uri)
    s3 = aws.client(settings, "s3", role)
    try:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("KeyCount", 0)
    except ClientError as error:
        raise invalid(
            f"Could not access model data at {uri}. Please ensure that the role "
            f'"{role.role_arn}" exists and that its trust relationship policy allows the action '
            f'"sts:AssumeRole" for the service principal "{SERVICE}". Also ensure that the '
            'role has "s3:GetObject" permissions and that the object is located in '
            f"{settings.region}. ({error.response['Error']['Code']})"
        ) from error
    if not found:
        raise invalid(f"Could not find model data at {uri}.")


def plan_container(
    settings: CloudSettings,
    container: Definition,
    role: RoleSession,
    folder: Path,
    startup_timeout_s: float,
) -> ContainerPlan:
    """Fetch the model data into `folder`/model and say how to run the image. ContainerFailed."""
    digest = find_image(settings, container["Image"], role)
    model = folder / "model"
    model.mkdir(parents=True)
    uri = model_uri(container)
    try:
        if uri is not None:
            aws.download_prefix(aws.client(settings, "s3", role), uri, model)
        command = choose_command(ImageStore(settings.images), digest)
    except aws.TransferErrors as error:
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


def model_uri(container: Definition) -> str | None:
    source = (container.get("ModelDataSource") or {}).get("S3DataSource")
    return str(source["S3Uri"]) if source else None
