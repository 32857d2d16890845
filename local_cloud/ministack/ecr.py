"""ECR beyond the account's own repositories, and where MiniStack's does other than AWS's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import ecr

from local_cloud.api_shapes import BadRequest
from local_cloud.ministack.answers import Handler, Operation, Response, answering, refusal, success
from local_cloud.settings import CloudSettings


def install_registry(
    settings: CloudSettings,
    aws_s_images: Operation,
    config_of: Callable[[str], Mapping[str, Any] | None],
) -> None:
    """Once, before anything is served. `aws_s_images` answers BatchGetImage for other accounts'
    registries; `config_of` gives an image's config by its digest."""
    ours = ecr._batch_get_image

    def batch_get_image(request: Mapping[str, Any]) -> Response:
        registry = request.get("registryId", settings.account)
        handler: Handler = ours if registry == settings.account else answering(aws_s_images)
        return handler(request)

    ecr._batch_get_image = batch_get_image
    ecr._describe_images = missing_image_is_an_error(ecr._describe_images)
    ecr._get_download_url_for_layer = reachable(settings, ecr._get_download_url_for_layer)
    ecr._v2_get_blob = with_configs(config_of, ecr._v2_get_blob)


def missing_image_is_an_error(describe: Handler) -> Handler:
    """DescribeImages: ImageNotFoundException for an image that is not there, not a short list."""

    def wrapped(request: Mapping[str, Any]) -> Response:
        name = request.get("repositoryName", "")
        for wanted in request.get("imageIds") or []:
            if name in ecr._repositories and ecr._find_image(name, wanted) is None:
                shown = ", ".join(f"{key}:'{value}'" for key, value in wanted.items())
                message = (
                    f"The image with imageId {{{shown}}} does not exist within the repository "
                    f"with name '{name}' in the registry with id '{ecr._registry_id()}'"
                )
                return refusal(BadRequest("ImageNotFoundException", message))
        return describe(request)

    return wrapped


def reachable(settings: CloudSettings, download_url: Handler) -> Handler:
    """A layer's address on this cloud, where AWS gives a presigned one."""

    def wrapped(request: Mapping[str, Any]) -> Response:
        answer = download_url(request)
        if answer[0] != 200:
            return answer
        digest = request["layerDigest"]
        place = f"{settings.url}/v2/{request['repositoryName']}/blobs/{digest}"
        return success({"downloadUrl": place, "layerDigest": digest})

    return wrapped


def with_configs(
    config_of: Callable[[str], Mapping[str, Any] | None], get_blob: Callable[[str, str], Response]
) -> Callable[[str, str], Response]:
    """The config of an image that `docker` has laid out; MiniStack has none."""

    def wrapped(name: str, digest: str) -> Response:
        config = config_of(digest)
        if config is None:
            return get_blob(name, digest)
        return 200, {"Content-Type": "application/octet-stream"}, json.dumps(config).encode()

    return wrapped
