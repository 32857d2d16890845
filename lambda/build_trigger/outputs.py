"""Whether a build's output is there. Manifests are written last and image tags never move, so
one that is there is whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outputs:
    """Asks S3 (`{"Bucket", "Manifest"}`), and for an image, whose manifest is its record, ECR as
    well (`{"Repository", "Tag"}` besides)."""

    s3: Any
    ecr: Any

    def exists(self, output: Mapping[str, str]) -> bool:
        """Raises KeyError for any other shape, and botocore's errors."""
        return self._object(output) and ("Tag" not in output or self._image(output))

    def _object(self, output: Mapping[str, str]) -> bool:
        # Listing tells "not there" from "not allowed", which HeadObject doesn't.
        key = output["Manifest"]
        listed = self.s3.list_objects_v2(Bucket=output["Bucket"], Prefix=key, MaxKeys=1)
        return any(found["Key"] == key for found in listed.get("Contents", ()))

    def _image(self, output: Mapping[str, str]) -> bool:
        try:
            self.ecr.describe_images(
                repositoryName=output["Repository"], imageIds=[{"imageTag": output["Tag"]}]
            )
        except self.ecr.exceptions.ImageNotFoundException:
            return False
        return True
