"""Builds in a deploy on a cloud that has none of the app yet: what fails first must leave nothing
behind that the next try doesn't find again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from local_cloud.child import ChildCloud
from local_cloud.deployment import DeployFailed, Deployment
from local_cloud.docker.registry import digest_of_base
from local_cloud.docker.store import MANIFEST_TYPE, OCI_INDEX_TYPE
from local_cloud.node import cdk_cli
from tests.fakes.local_account import fault
from tests.local.support import builds

pytestmark = pytest.mark.local

IMPORT = "SdArtifactsStack"
# Nothing listens there.
UNREACHABLE = (
    "sd.models.sd21-base.source=hub",
    "sd.models.sd21-base.id=mine/model",
    "sd.models.sd21-base.hub_url=http://127.0.0.1:9",
)


@dataclass(frozen=True)
class Fresh:
    """A cloud with nothing in it but what `cdk bootstrap` makes."""

    cloud: ChildCloud
    deployment: Deployment
    bootstrapped: frozenset[str]

    def storage(self) -> dict[str, list[str]]:
        """Names and ids of what is kept."""
        s3, kms, ecr = (self.cloud.client(name) for name in ("s3", "kms", "ecr"))
        keys = [key["KeyId"] for key in kms.list_keys()["Keys"]]
        enabled = [k for k in keys if kms.describe_key(KeyId=k)["KeyMetadata"]["Enabled"]]
        found = {
            "buckets": [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]],
            "keys": enabled,
            "repositories": [
                r["repositoryName"] for r in ecr.describe_repositories()["repositories"]
            ],
        }
        return {
            kind: sorted(name for name in names if name not in self.bootstrapped)
            for kind, names in found.items()
        }

    def record(self, tag: str) -> dict[str, str]:
        """Of an image."""
        bucket = self.deployment.outputs("SdStorageStack")["ModelBucket"]
        body = self.cloud.client("s3").get_object(Bucket=bucket, Key=f"images/{tag}.json")["Body"]
        document: dict[str, str] = json.loads(body.read())
        return document

    def fails(self, stack: str, *context: str) -> str:
        """The reason."""
        with pytest.raises(DeployFailed) as caught:
            self.deployment.deploy(stack, context=context)
        return str(caught.value)


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    with ChildCloud() as cloud:
        deployment = Deployment(cloud, cdk_cli())
        try:
            deployment.bootstrap()
            empty = Fresh(cloud, deployment, frozenset())
            names = (name for names in empty.storage().values() for name in names)
            yield Fresh(cloud, deployment, frozenset(names))
        finally:
            deployment.stop()


def test_a_failed_first_import_and_a_good_one_leave_one_bucket_and_one_key(fresh: Fresh) -> None:
    reason = fresh.fails(IMPORT, *UNREACHABLE)
    assert "http://127.0.0.1:9 can't be reached" in reason
    after_failure = fresh.storage()
    assert {kind: len(names) for kind, names in after_failure.items()} == {
        "buckets": 1,
        "keys": 1,
        "repositories": 3,
    }
    # The log that the error points to is still there.
    group = fresh.deployment.outputs("SdStorageStack")["BuildLogGroup"]
    streams = fresh.cloud.client("logs").describe_log_streams(logGroupName=group)["logStreams"]
    assert [stream["logStreamName"].split("/")[0] for stream in streams] == ["weights-sd21-base"]

    fresh.deployment.deploy(IMPORT)
    assert fresh.storage() == after_failure


def test_a_changed_time_limit_passes_as_an_update_and_builds_nothing(fresh: Fresh) -> None:
    fresh.deployment.deploy(IMPORT)
    before = builds(fresh.cloud)

    fresh.deployment.deploy(IMPORT, context=["sd.builds.weights_timeout_min=121"])

    codebuild = fresh.cloud.client("codebuild")
    projects = codebuild.batch_get_projects(names=codebuild.list_projects()["projects"])
    assert [project["timeoutInMinutes"] for project in projects["projects"]] == [121]
    assert builds(fresh.cloud) == before


def test_an_image_that_sagemaker_would_refuse_is_deleted_and_the_next_deploy_is_recorded(
    fresh: Fresh,
) -> None:
    with fault(fresh.cloud, "docker-pushes", OCI_INDEX_TYPE):
        reason = fresh.fails("SdG5Stack")
    assert f"as {OCI_INDEX_TYPE}, which SageMaker doesn't take" in reason

    ecr = fresh.cloud.client("ecr")
    left = {
        name: ecr.describe_images(repositoryName=name)["imageDetails"]
        for name in fresh.storage()["repositories"]
    }
    assert not [images for images in left.values() if images]

    fresh.deployment.deploy("SdG5Stack")
    ((repository, images),) = [
        (name, found)
        for name in left
        if (found := ecr.describe_images(repositoryName=name)["imageDetails"])
    ]
    (image,) = images
    (tag,) = image["imageTags"]
    assert image["imageManifestMediaType"] == MANIFEST_TYPE
    record = fresh.record(tag)
    account, name = "763104351884", "huggingface-pytorch-inference"
    uri, _, base_tag = record["base_image"].rpartition(":")
    assert uri == f"{account}.dkr.ecr.us-east-1.amazonaws.com/{name}"
    assert record["base_digest"] == digest_of_base(account, name, base_tag)
    assert record["image"].endswith(f"/{repository}:{tag}")

    # Deployed again without its record, the image isn't built again, its record is written anew.
    fresh.deployment.destroy("SdG5Stack")
    bucket = fresh.deployment.outputs("SdStorageStack")["ModelBucket"]
    fresh.cloud.client("s3").delete_object(Bucket=bucket, Key=f"images/{tag}.json")
    fresh.deployment.deploy("SdG5Stack")
    assert fresh.record(tag) == record
    assert ecr.describe_images(repositoryName=repository)["imageDetails"] == images


def test_a_codebuild_quota_of_none_fails_the_deploy_at_once_and_is_named(fresh: Fresh) -> None:
    before = builds(fresh.cloud)
    with fault(fresh.cloud, "codebuild-quota", "0"):
        reason = fresh.fails("SdInf2CompileStack", "sd.builds.weights_timeout_min=121")

    assert "'Concurrently running builds for Linux/Large environment'" in reason
    assert builds(fresh.cloud) == before
