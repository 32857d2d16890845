"""Whether a build's output is there. Manifests are written last and image tags never move, so
one that is there is whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Output:
    """Done when the bucket has the object `manifest` and, for an image, its repository the tag."""

    bucket: str
    manifest: str
    repository: str
    tag: str

    @classmethod
    def parse(cls, told: Mapping[str, str]) -> "Output":
        """As the stacks tell of it (stacks/components/build_step.py). Raises KeyError."""
        tag = told.get("Tag", "")
        return cls(told["Bucket"], told["Manifest"], told["Repository"] if tag else "", tag)


@dataclass(frozen=True)
class Outputs:
    """Asks S3 and, for an image, ECR as well; botocore's errors pass through."""

    s3: Any
    ecr: Any

    def exists(self, output: Output) -> bool:
        return self._object(output) and (not output.tag or self._image(output))

    def _object(self, output: Output) -> bool:
        # Listing tells "not there" from "not allowed", which HeadObject doesn't.
        key = output.manifest
        listed = self.s3.list_objects_v2(Bucket=output.bucket, Prefix=key, MaxKeys=1)
        return any(found["Key"] == key for found in listed.get("Contents", ()))

    def _image(self, output: Output) -> bool:
        try:
            self.ecr.describe_images(
                repositoryName=output.repository, imageIds=[{"imageTag": output.tag}]
            )
        except self.ecr.exceptions.ImageNotFoundException:
            return False
        return True
