"""The image build: what docker is told, what is taken for good, what is recorded of it."""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stacks.build_scripts.build_image import MEDIA_TYPE, BuildFailed, ImageBuilder, ImageJob
from tests.fakes.s3 import FakeS3

REGISTRY = "763104351884.dkr.ecr.eu-west-1.amazonaws.com"
BASE = f"{REGISTRY}/huggingface-pytorch-inference:2.6.0"
BASE_DIGEST, PINNED, EARLIER = ("sha256:" + digit * 64 for digit in "bcd")
KEY = "a" * 64
IMAGE = f"111122223333.dkr.ecr.eu-west-1.amazonaws.com/images:{KEY}"
JOB = ImageJob(
    key=KEY,
    base_image=BASE,
    image=IMAGE,
    repository="images",
    dockerfile="context/g5/Dockerfile",
    bucket="models",
    record=f"images/{KEY}.json",
)
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CHILD = "sha256:" + "e" * 64


class FakeEcr:
    """Our repository, immutable, and AWS's registry with one container. A config's label is what
    `label` says."""

    class exceptions:
        ClientError = ClientError

        class ImageNotFoundException(Exception):
            pass

    def __init__(self) -> None:
        self.tag: str | None = None
        self.images: dict[str, dict[str, Any]] = {}
        self.base = {"imageTag": "2.6.0", "imageDigest": BASE_DIGEST}
        self.denied = self.undeletable = False
        self.label: str | None = EARLIER

    def push(self, media_type: str, digest: str = "sha256:" + "1" * 64) -> None:
        manifest: dict[str, Any] = {"config": {"digest": "sha256:config"}}
        if media_type == OCI_INDEX:
            self.images[CHILD] = {"type": OCI_MANIFEST, "manifest": manifest}
            manifest = {"manifests": [{"digest": CHILD}]}
        self.images[digest] = {"type": media_type, "manifest": manifest}
        self.tag = digest

    def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> Any:
        assert (repositoryName, imageIds) == ("images", [{"imageTag": KEY}])
        if self.tag is None:
            raise self.exceptions.ImageNotFoundException
        found = self.images[self.tag]
        return {
            "imageDetails": [{"imageDigest": self.tag, "imageManifestMediaType": found["type"]}]
        }

    def batch_get_image(
        self, repositoryName: str, imageIds: list[dict[str, str]], registryId: str = ""
    ) -> Any:
        (wanted,) = imageIds
        if not registryId:
            manifest = json.dumps(self.images[wanted["imageDigest"]]["manifest"])
            return {"images": [{"imageManifest": manifest}], "failures": []}
        assert (registryId, repositoryName) == ("763104351884", "huggingface-pytorch-inference")
        if self.denied:
            error = {"Code": "AccessDeniedException", "Message": "not allowed"}
            raise ClientError({"Error": error}, "BatchGetImage")
        if wanted.items() <= self.base.items():
            return {"images": [{"imageId": self.base}], "failures": []}
        failure = {"imageId": wanted, "failureReason": "Requested image not found"}
        return {"images": [], "failures": [failure]}

    def batch_delete_image(self, repositoryName: str, imageIds: list[dict[str, str]]) -> Any:
        assert repositoryName == "images"
        if self.undeletable:
            return {"failures": [{"failureReason": "in use"}]}
        for wanted in imageIds:
            digest = wanted["imageDigest"]
            named = [
                c["digest"]
                for i in self.images.values()
                for c in i["manifest"].get("manifests", ())
            ]
            if digest in named:
                return {"failures": [{"failureReason": "referenced by manifest list"}]}
            del self.images[digest]
            self.tag = None if digest == self.tag else self.tag
        return {"failures": []}

    def get_download_url_for_layer(self, repositoryName: str, layerDigest: str) -> dict[str, str]:
        assert (repositoryName, layerDigest) == ("images", "sha256:config")
        return {"downloadUrl": "https://layers/config"}

    def fetch(self, url: str) -> bytes:
        assert url == "https://layers/config"
        labels = {"org.opencontainers.image.base.digest": self.label} if self.label else None
        return json.dumps({"config": {"Labels": labels}}).encode()

    def get_authorization_token(self) -> dict[str, Any]:
        token = base64.b64encode(b"AWS:pass:word").decode()
        return {"authorizationData": [{"authorizationToken": token}]}


class Building:
    """One build. Docker fails at the subcommand `failing`, and pushes as `media_type`; `overtaken`
    by another build, it finds the tag taken."""

    def __init__(
        self, failing: str = "", media_type: str = MEDIA_TYPE, overtaken: bool = False
    ) -> None:
        self.ecr, self.s3 = FakeEcr(), FakeS3()
        self.failing, self.media_type, self.overtaken = failing, media_type, overtaken
        self.ran: list[tuple[list[str], str]] = []

    def docker(self, command: Sequence[str], standard_input: str) -> int:
        self.ran.append((list(command), standard_input))
        if self.failing in command[:3]:
            return 1
        if command[1] == "push":
            self.ecr.push(self.media_type)
            return int(self.overtaken)
        return 0

    def run(self, **job: str) -> None:
        ImageBuilder(replace(JOB, **job), self.ecr, self.s3, self.docker, self.ecr.fetch).build()

    def fails(self, **job: str) -> str:
        with pytest.raises(BuildFailed) as caught:
            self.run(**job)
        assert not self.s3.objects
        return str(caught.value)

    @property
    def recorded(self) -> Any:
        return json.loads(self.s3.objects[f"images/{KEY}.json"])


def test_it_logs_in_to_both_registries_builds_on_the_base_and_pushes() -> None:
    building = Building()
    building.run()
    (aws_s, ours), (build, push) = building.ran[:2], building.ran[2:]
    for (command, standard_input), image in ((aws_s, BASE), (ours, IMAGE)):
        assert command[-1] == image.split("/")[0]
        # On standard input: a command line is there for every process to read.
        assert standard_input == "pass:word"
        assert "pass:word" not in command
    assert build[0][build[0].index("--file") + 1] == "context/g5/Dockerfile"
    assert build[0][build[0].index("--tag") + 1] == IMAGE
    assert push[0] == ["docker", "push", IMAGE]
    # A docker manifest without attestations: all that SageMaker takes.
    assert build[0][:3] == ["docker", "buildx", "build"]
    for option in (
        "--provenance=false",
        "--sbom=false",
        "--output=type=image,oci-mediatypes=false",
    ):
        assert option in build[0]


def test_what_is_recorded_is_the_digest_that_was_built_on() -> None:
    building = Building()
    building.run()
    command = building.ran[2][0]
    assert f"BASE_IMAGE={BASE}@{BASE_DIGEST}" in command
    assert f"org.opencontainers.image.base.digest={BASE_DIGEST}" in command
    assert f"org.opencontainers.image.base.name={BASE}" in command
    assert building.recorded == {
        "base_image": BASE,
        "base_digest": BASE_DIGEST,
        "image": IMAGE,
        "media_type": MEDIA_TYPE,
    }


def test_a_pinned_digest_is_used_whatever_the_tag_stands_for_now() -> None:
    building = Building()
    building.ecr.base = {"imageDigest": PINNED}
    building.run(base_image=f"{BASE}@{PINNED}")
    assert f"BASE_IMAGE={BASE}@{PINNED}" in building.ran[2][0]
    assert building.recorded["base_digest"] == PINNED
    assert building.recorded["base_image"] == BASE


@pytest.mark.parametrize("base", [f"{BASE}@{PINNED}", BASE.replace("2.6.0", "2.6.1")])
def test_a_base_that_aws_does_not_have_is_named_before_anything_is_built(base: str) -> None:
    building = Building()
    assert f"has no {base}: Requested image not found" in building.fails(base_image=base)
    building.ecr.denied = True
    assert f"doesn't tell of {base}: " in building.fails(base_image=base)
    assert building.ran == []


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, OCI_INDEX])
def test_a_pushed_manifest_that_sagemaker_would_refuse_is_deleted_and_named(
    media_type: str,
) -> None:
    building = Building(media_type=media_type)
    said = building.fails()
    assert f"as {media_type}, which SageMaker doesn't take" in said
    # The tag is free again, and nothing that an index named is left.
    assert building.ecr.images == {}
    assert building.ecr.tag is None


def test_one_that_can_not_be_deleted_is_said() -> None:
    building = Building(media_type=OCI_INDEX)
    building.ecr.undeletable = True
    assert "can't be deleted: in use" in building.fails()


def test_a_wrong_one_left_behind_does_not_block_the_next_build() -> None:
    building = Building()
    building.ecr.push(OCI_INDEX)
    building.run()
    assert [image["type"] for image in building.ecr.images.values()] == [MEDIA_TYPE]
    assert building.recorded["base_digest"] == BASE_DIGEST


def test_an_image_that_is_there_is_not_built_again_and_its_record_is_written_anew() -> None:
    building = Building()
    building.ecr.push(MEDIA_TYPE)
    building.run()
    assert building.ran == []
    assert building.recorded["base_digest"] == EARLIER


def test_an_image_of_another_s_build_is_said_where_its_record_can_not_be_written() -> None:
    building = Building()
    building.ecr.push(MEDIA_TYPE)
    building.ecr.label = None
    assert "delete it (aws ecr batch-delete-image) and deploy again" in building.fails()


@pytest.mark.parametrize("failing", ["login", "build", "push"])
def test_each_step_that_fails_is_named(failing: str) -> None:
    assert f"docker {failing}" in Building(failing).fails()


def test_a_push_that_another_build_was_ahead_of_is_fine_and_its_base_is_recorded() -> None:
    building = Building(overtaken=True)
    building.run()
    assert building.recorded["base_digest"] == EARLIER
