"""Whether a build's output is there. Manifests are written last and image tags never move, so
one that is there is whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class S3Output:
    """Done when the object `manifest` is there."""

    bucket: str
    manifest: str


@dataclass(frozen=True)
class EcrOutput:
    """Done when the repository has the tag, and the bucket the image's record."""

    repository: str
    tag: str
    record: S3Output


Output = S3Output | EcrOutput


def parse_output(told: Mapping[str, str]) -> Output:
    """As the stacks tell of it (stacks/components/build_step.py). Raises KeyError."""
    in_s3 = S3Output(told["Bucket"], told["Manifest"])
    return EcrOutput(told["Repository"], told["Tag"], in_s3) if "Tag" in told else in_s3


@dataclass(frozen=True)
class Outputs:
    """Asks S3 and, for an image, ECR as well; botocore's errors pass through."""

    s3: Any
    ecr: Any

    def exists(self, output: Output) -> bool:
        if isinstance(output, S3Output):
            return self._object(output)
        return self._object(output.record) and self._image(output)

    def _object(self, output: S3Output) -> bool:
        # Listing tells "not there" from "not allowed", which HeadObject doesn't.
        key = output.manifest
        listed = self.s3.list_objects_v2(Bucket=output.bucket, Prefix=key, MaxKeys=1)
        return any(found["Key"] == key for found in listed.get("Contents", ()))

    def _image(self, output: EcrOutput) -> bool:
        try:
            self.ecr.describe_images(
                repositoryName=output.repository, imageIds=[{"imageTag": output.tag}]
            )
        except self.ecr.exceptions.ImageNotFoundException:
            return False
        return True
