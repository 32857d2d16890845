"""Builds a variant's container image and pushes it under its content key, unless it's there.

    python3 -m stacks.build_scripts.build_image

with ImageJob's environment. The record says what the image was built on; it is written last, when
the image is known to be one that SageMaker takes.
"""

import base64
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stacks.build_scripts.environment import BuildEnvironment

CONTEXT = "context"
# SageMaker: "Unsupported manifest media type" for any OCI one (amazon-sagemaker-feedback#180).
MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
# The Open Container Initiative's pre-defined annotation keys.
BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"
# Each alone leaves one way to an OCI manifest where docker keeps its images in containerd (docker
# 29's default; the standard image has 28.5.2 and buildx 0.32.1). The docker driver has no
# `type=docker`, and hands `type=image` to the daemon in either case (buildx, build/opt.go).
DOCKER_TYPES = ("--provenance=false", "--sbom=false", "--output=type=image,oci-mediatypes=false")

# Runs a command with its standard input; the exit status.
Run = Callable[[Sequence[str], str], int]


class BuildFailed(Exception):
    """The text is the reason the deploy is given."""


@dataclass(frozen=True)
class ImageJob(BuildEnvironment):
    """`image` is pushed as `key` of `repository`, `record` an object of `bucket`."""

    key: str
    base_image: str
    """Its URI, with "@" and the digest where it is pinned."""
    image: str
    repository: str
    dockerfile: str
    bucket: str
    record: str


@dataclass(frozen=True)
class Base:
    """AWS's container: its registry's account, and the digest where it is known."""

    name: str
    account: str
    repository: str
    tag: str
    digest: str | None

    @classmethod
    def parse(cls, image: str) -> "Base":
        found = re.fullmatch(
            r"((\d{12})\.[^/]+/([^:@]+):([^@]+))(?:@(sha256:[0-9a-f]{64}))?", image
        )
        assert found, image
        return cls(found[1], found[2], found[3], found[4], found[5])


@dataclass(frozen=True)
class Pushed:
    """An image of the repository."""

    digest: str
    media_type: str


@dataclass(frozen=True)
class ImageBuilder:
    """`fetch` gives the body behind a URL."""

    job: ImageJob
    ecr: Any
    s3: Any
    run: Run
    fetch: Callable[[str], bytes]

    def build(self) -> None:
        base = Base.parse(self.job.base_image)
        there = self.pushed()
        if there and there.media_type != MEDIA_TYPE:
            print(f"{self.job.image} is there as {there.media_type}: it is built anew")
            self._delete(there)
        elif there:
            print(f"{self.job.image} is there already")
            self.record(base.name, self._digest_in_label(there))
            return
        digest = self._digest_of(base)
        self._docker_build(base, digest)
        # A tag can't be pushed twice: where another build was faster, its image is as good as ours.
        lost = self.run(["docker", "push", self.job.image], "") != 0
        there = self.pushed()
        if there is None:
            raise BuildFailed(f"docker push of {self.job.image} failed")
        if there.media_type != MEDIA_TYPE:
            # Left there, it would be what every later deploy finds: the tag can't be moved.
            self._delete(there)
            raise BuildFailed(
                f"docker pushed {self.job.image} as {there.media_type}, which SageMaker "
                f"doesn't take (it takes {MEDIA_TYPE}); the image is deleted"
            )
        self.record(base.name, self._digest_in_label(there) if lost else digest)

    def _digest_of(self, base: Base) -> str:
        """Of what is built on: asked for once, so that what is recorded is what is used."""
        wanted = {"imageDigest": base.digest} if base.digest else {"imageTag": base.tag}
        shown = f"{base.name}@{base.digest}" if base.digest else base.name
        try:
            answer = self.ecr.batch_get_image(
                registryId=base.account, repositoryName=base.repository, imageIds=[wanted]
            )
        except self.ecr.exceptions.ClientError as error:
            raise BuildFailed(f"AWS's registry doesn't tell of {shown}: {error}") from error
        if not answer["images"]:
            why = answer["failures"][0]["failureReason"]
            raise BuildFailed(f"AWS's registry has no {shown}: {why}")
        digest: str = answer["images"][0]["imageId"]["imageDigest"]
        return digest

    def _docker_build(self, base: Base, digest: str) -> None:
        image, dockerfile = self.job.image, self.job.dockerfile
        password = self.registry_password()
        for registry in (base.name.split("/")[0], image.split("/")[0]):
            login = ["docker", "login", "--username", "AWS", "--password-stdin", registry]
            if self.run(login, password):
                raise BuildFailed(f"docker login to {registry} failed")
        build = [
            *("docker", "buildx", "build", "--file", dockerfile, "--tag", image, *DOCKER_TYPES),
            *("--build-arg", f"BASE_IMAGE={base.name}@{digest}"),
            *("--label", f"{BASE_NAME}={base.name}", "--label", f"{BASE_DIGEST}={digest}"),
        ]
        if self.run([*build, CONTEXT], ""):
            raise BuildFailed(f"docker build of {dockerfile} failed")

    def registry_password(self) -> str:
        """Good for AWS's registries as well as ours."""
        token = self.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        return base64.b64decode(token).decode().split(":", 1)[1]

    def pushed(self) -> Pushed | None:
        try:
            found = self.ecr.describe_images(
                repositoryName=self.job.repository,
                imageIds=[{"imageTag": self.job.key}],
            )["imageDetails"][0]
        except self.ecr.exceptions.ImageNotFoundException:
            return None
        return Pushed(found["imageDigest"], found["imageManifestMediaType"])

    def _manifest(self, digest: str) -> Any:
        answer = self.ecr.batch_get_image(
            repositoryName=self.job.repository, imageIds=[{"imageDigest": digest}]
        )
        return json.loads(answer["images"][0]["imageManifest"])

    def _digest_in_label(self, there: Pushed) -> str:
        """Of an image that some earlier build has pushed."""
        layer = self.ecr.get_download_url_for_layer(
            repositoryName=self.job.repository,
            layerDigest=self._manifest(there.digest)["config"]["digest"],
        )
        config = json.loads(self.fetch(layer["downloadUrl"]))
        labels = config["config"].get("Labels") or {}
        if BASE_DIGEST not in labels:
            raise BuildFailed(
                f"{self.job.image} has no label {BASE_DIGEST}, so it isn't of this build: "
                "delete it (aws ecr batch-delete-image) and deploy again"
            )
        digest: str = labels[BASE_DIGEST]
        return digest

    def _delete(self, there: Pushed) -> None:
        """The image, and after it what an index names: until then that can't be deleted."""
        named = self._manifest(there.digest).get("manifests", [])
        for digests in ([there.digest], [each["digest"] for each in named]):
            if not digests:
                continue
            answer = self.ecr.batch_delete_image(
                repositoryName=self.job.repository,
                imageIds=[{"imageDigest": digest} for digest in digests],
            )
            if failures := answer.get("failures"):
                raise BuildFailed(
                    f"{self.job.image} is there as {there.media_type} and can't be deleted: "
                    f"{failures[0]['failureReason']}"
                )

    def record(self, base: str, digest: str) -> None:
        record = {
            "base_image": base,
            "base_digest": digest,
            "image": self.job.image,
            "media_type": MEDIA_TYPE,
        }
        self.s3.put_object(
            Bucket=self.job.bucket,
            Key=self.job.record,
            Body=json.dumps(record, indent=1).encode(),
            ContentType="application/json",
        )


def run(command: Sequence[str], standard_input: str) -> int:
    print("+", " ".join(command), flush=True)
    return subprocess.run(command, input=standard_input, text=True, check=False).returncode


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        body: bytes = answer.read()
    return body


def main(builder: type[ImageBuilder] = ImageBuilder) -> None:
    import boto3

    try:
        job = ImageJob.from_env(os.environ)
        builder(job, boto3.client("ecr"), boto3.client("s3"), run, fetch).build()
    except BuildFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
