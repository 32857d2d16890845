"""Whether a build's output is there. Manifests are written last and image tags never move, so
one that is there is whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outputs:
    """Asks S3 (`{"Bucket", "Manifest"}`) or ECR (`{"Repository", "Tag"}`)."""

    s3: Any
    ecr: Any

    def exists(self, output: Mapping[str, str]) -> bool:
        """Raises KeyError for any other shape, and botocore's errors."""
        if "Manifest" in output:
            # Listing tells "not there" from "not allowed", which HeadObject doesn't.
            key = output["Manifest"]
            listed = self.s3.list_objects_v2(Bucket=output["Bucket"], Prefix=key, MaxKeys=1)
            return any(found["Key"] == key for found in listed.get("Contents", ()))
        try:
            self.ecr.describe_images(
                repositoryName=output["Repository"], imageIds=[{"imageTag": output["Tag"]}]
            )
        except self.ecr.exceptions.ImageNotFoundException:
            return False
        return True
