"""AWS's registries and image configs, as the local cloud has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local_cloud.image_store import ImageRecord, ImageStore
from local_cloud.registry import (
    AwsRegistry,
    digest_of_base,
    reachable,
    registries_count,
    with_configs,
)
from local_cloud.settings import CloudSettings

AWS_ACCOUNT, REPOSITORY = "763104351884", "djl-inference"
ACCOUNTS = {REPOSITORY: {"us-east-1": AWS_ACCOUNT, "eu-south-1": "692866216735"}}
DIGEST = digest_of_base(AWS_ACCOUNT, REPOSITORY, "0.27.0")
Response = tuple[int, dict[str, str], bytes]


@pytest.fixture
def settings(tmp_path: Path) -> CloudSettings:
    return CloudSettings(port=4566, state=tmp_path)


def ask(settings: CloudSettings, registry: str | None, **wanted: str) -> tuple[int, Any]:
    def ours(_: Mapping[str, Any]) -> Response:
        return 200, {}, b'"ours"'

    request: dict[str, Any] = {"repositoryName": REPOSITORY, "imageIds": [wanted]}
    if registry:
        request["registryId"] = registry
    status, _, body = AwsRegistry(settings, ACCOUNTS).in_front_of(ours)(request)
    return status, json.loads(body)


def test_a_tag_of_aws_s_has_a_digest_that_stays(settings: CloudSettings) -> None:
    status, answer = ask(settings, AWS_ACCOUNT, imageTag="0.27.0")
    assert status == 200
    (image,) = answer["images"]
    assert image["imageId"] == {"imageTag": "0.27.0", "imageDigest": DIGEST}
    assert image["registryId"] == AWS_ACCOUNT
    assert ask(settings, AWS_ACCOUNT, imageDigest=DIGEST)[1]["images"]


def test_a_digest_that_is_not_the_tag_s_is_a_failure(settings: CloudSettings) -> None:
    other = "sha256:" + "0" * 64
    _, answer = ask(settings, AWS_ACCOUNT, imageTag="0.27.0", imageDigest=other)
    assert answer["images"] == []
    assert answer["failures"][0]["failureCode"] == "ImageTagDoesNotMatchDigest"


def test_aws_can_have_none(settings: CloudSettings) -> None:
    (settings.state / "faults").mkdir()
    (settings.state / "faults" / "no-base-image").touch()
    _, answer = ask(settings, AWS_ACCOUNT, imageTag="0.27.0")
    assert answer["failures"][0]["failureCode"] == "ImageNotFound"


@pytest.mark.parametrize("registry", ["692866216735", "111122223333"])
def test_another_region_s_or_anyone_s_registry_has_no_such_repository(
    settings: CloudSettings, registry: str
) -> None:
    status, answer = ask(settings, registry, imageTag="0.27.0")
    assert status == 400
    assert answer["__type"] == "RepositoryNotFoundException"


@pytest.mark.parametrize("registry", [None, "000000000000"])
def test_our_own_registry_answers_for_itself(settings: CloudSettings, registry: str | None) -> None:
    assert ask(settings, registry, imageTag="1") == (200, "ours")


def test_a_request_is_allowed_on_the_registry_it_names() -> None:
    ours = "arn:aws:ecr:us-east-1:000000000000:repository/djl-inference"
    wrapped = registries_count(lambda *_: ours)

    def resource(**body: str) -> str:
        return wrapped("ecr", "POST", "/", {}, json.dumps(body).encode(), {}, "us-east-1", "0")

    assert resource() == ours
    assert resource(registryId=AWS_ACCOUNT) == ours.replace("000000000000", AWS_ACCOUNT)
    assert wrapped("s3", "GET", "/", {}, b"", {}) == ours


def test_a_config_is_where_ecr_says_and_has_the_labels(settings: CloudSettings) -> None:
    def layer(_: Mapping[str, Any]) -> Response:
        return 200, {}, b"{}"

    digest = "sha256:" + "1" * 64
    asked = {"repositoryName": "images", "layerDigest": digest}
    _, _, body = reachable(settings, layer)(asked)
    url = f"http://127.0.0.1:4566/v2/images/blobs/{digest}"
    assert json.loads(body) == {"downloadUrl": url, "layerDigest": digest}

    store = ImageStore(settings.images)
    store.rootfs(digest).mkdir(parents=True)
    store.save(digest, ImageRecord("base:1", labels={"a": "b"}))
    get = with_configs(store, lambda *_: (404, {}, b""))
    status, _, body = get("images", digest)
    assert (status, json.loads(body)["config"]["Labels"]) == (200, {"a": "b"})
    assert get("images", "sha256:" + "2" * 64)[0] == 404
