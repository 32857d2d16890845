"""AWS's registries, whose containers ours extend, as far as builds ask them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from local_cloud.api_shapes import BadRequest
from local_cloud.docker.store import MANIFEST_TYPE, manifest_of
from local_cloud.settings import REPOSITORY, CloudSettings


def digest_of_base(account: str, repository: str, tag: str) -> str:
    """What a tag of AWS's stands for here."""
    return "sha256:" + sha256(f"{account}/{repository}:{tag}".encode()).hexdigest()


def registry_accounts() -> Mapping[str, Mapping[str, str]]:
    """AWS's, by repository and region."""
    document = json.loads((REPOSITORY / "stacks" / "catalogue" / "images.json").read_text())
    accounts: Mapping[str, Mapping[str, str]] = document["accounts"]
    return accounts


class AwsRegistry:
    """BatchGetImage for the repositories of AWS's in `accounts` (repository → region → account).

    Which tags and digests AWS has can't be known here: any is found, unless there is a fault
    `no-base-image`.
    """

    def __init__(self, settings: CloudSettings, accounts: Mapping[str, Mapping[str, str]]) -> None:
        self._settings, self._accounts = settings, accounts

    def batch_get_image(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Raises BadRequest."""
        account, repository = request["registryId"], request["repositoryName"]
        if self._accounts.get(repository, {}).get(self._settings.region) != account:
            raise BadRequest(
                "RepositoryNotFoundException",
                f"The repository with name '{repository}' does not exist in the registry with id "
                f"'{account}'",
            )
        missing = self._settings.fault("no-base-image") is not None
        images, failures = [], []
        for wanted in request["imageIds"]:
            if missing:
                why = "Requested image not found"
                failures.append(
                    {"imageId": wanted, "failureCode": "ImageNotFound", "failureReason": why}
                )
                continue
            known = wanted.get("imageDigest") or digest_of_base(
                account, repository, wanted["imageTag"]
            )
            images.append(
                {
                    "registryId": account,
                    "repositoryName": repository,
                    "imageId": {**wanted, "imageDigest": known},
                    "imageManifest": manifest_of(known),
                    "imageManifestMediaType": MANIFEST_TYPE,
                }
            )
        return {"images": images, "failures": failures}
