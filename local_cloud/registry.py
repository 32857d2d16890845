"""ECR beyond the account's own repositories: AWS's registries, whose containers ours extend, and an
image's config, which has its labels. MiniStack has one account's registry, and no configs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import error_response_json, json_response
from ministack.services import ecr

from local_cloud.image_store import MANIFEST_TYPE, ImageStore, manifest_of
from local_cloud.settings import REPOSITORY, CloudSettings

Response = tuple[int, dict[str, str], bytes]
Call = Callable[[Mapping[str, Any]], Response]


def install_registry(settings: CloudSettings) -> None:
    """Once, before anything is served."""
    accounts = json.loads((REPOSITORY / "stacks" / "catalogue" / "images.json").read_text())[
        "accounts"
    ]
    ecr._batch_get_image = AwsRegistry(settings, accounts).in_front_of(ecr._batch_get_image)
    iam_actions.extract_resource_arn = registries_count(iam_actions.extract_resource_arn)
    ecr._get_download_url_for_layer = reachable(settings, ecr._get_download_url_for_layer)
    ecr._v2_get_blob = with_configs(ImageStore(settings.images), ecr._v2_get_blob)


def digest_of_base(account: str, repository: str, tag: str) -> str:
    """What a tag of AWS's stands for here."""
    return "sha256:" + sha256(f"{account}/{repository}:{tag}".encode()).hexdigest()


class AwsRegistry:
    """BatchGetImage for the repositories of AWS's in `accounts` (repository → region → account).

    Which tags and digests AWS has can't be known here: any is found, unless there is a file
    `no-base-image` in `<state>/faults/`.
    """

    def __init__(self, settings: CloudSettings, accounts: Mapping[str, Mapping[str, str]]) -> None:
        self._settings, self._accounts = settings, accounts

    def in_front_of(self, batch_get_image: Call) -> Call:
        def wrapped(request: Mapping[str, Any]) -> Response:
            registry = request.get("registryId", self._settings.account)
            if registry == self._settings.account:
                return batch_get_image(request)
            return self.batch_get_image(registry, request)

        return wrapped

    def batch_get_image(self, account: str, request: Mapping[str, Any]) -> Response:
        repository = request["repositoryName"]
        if self._accounts.get(repository, {}).get(self._settings.region) != account:
            refused: Response = error_response_json(
                "RepositoryNotFoundException",
                f"The repository with name '{repository}' does not exist in the registry with id "
                f"'{account}'",
                400,
            )
            return refused
        images, failures = [], []
        for wanted in request["imageIds"]:
            known = wanted.get("imageDigest")
            if "imageTag" in wanted:
                known = digest_of_base(account, repository, wanted["imageTag"])
            missing = (self._settings.state / "faults" / "no-base-image").exists()
            if missing or wanted.get("imageDigest", known) != known:
                code = "ImageNotFound" if missing else "ImageTagDoesNotMatchDigest"
                reason = "Requested image not found" if missing else "The tag has another digest"
                failures.append({"imageId": wanted, "failureCode": code, "failureReason": reason})
                continue
            images.append(
                {
                    "registryId": account,
                    "repositoryName": repository,
                    "imageId": {**wanted, "imageDigest": known},
                    "imageManifest": manifest_of(known),
                    "imageManifestMediaType": MANIFEST_TYPE,
                }
            )
        answer: Response = json_response({"images": images, "failures": failures})
        return answer


def registries_count(resource_arn: Callable[..., str]) -> Callable[..., str]:
    """A request that names a registry is allowed on that account's repository."""

    def wrapped(service: str, *rest: Any, **more: Any) -> str:
        arn = resource_arn(service, *rest, **more)
        if service != "ecr" or not arn.startswith("arn:"):
            return arn
        body = rest[3] if len(rest) > 3 else more["body"]
        registry = json.loads(body or b"{}").get("registryId")
        parts = arn.split(":")
        return ":".join([*parts[:4], registry, *parts[5:]]) if registry else arn

    return wrapped


def reachable(settings: CloudSettings, download_url: Call) -> Call:
    """A layer's address on this cloud, where AWS gives a presigned one."""

    def wrapped(request: Mapping[str, Any]) -> Response:
        status, headers, body = download_url(request)
        if status != 200:
            return status, headers, body
        digest = request["layerDigest"]
        place = f"{settings.url}/v2/{request['repositoryName']}/blobs/{digest}"
        answer: Response = json_response({"downloadUrl": place, "layerDigest": digest})
        return answer

    return wrapped


def with_configs(
    store: ImageStore, get_blob: Callable[[str, str], Response]
) -> Callable[[str, str], Response]:
    """The config of an image that `docker` has laid out."""

    def wrapped(name: str, digest: str) -> Response:
        try:
            config = store.load(digest).config()
        except KeyError:
            return get_blob(name, digest)
        return 200, {"Content-Type": "application/octet-stream"}, json.dumps(config).encode()

    return wrapped
