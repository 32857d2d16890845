"""What a bulk job's training job is told: the batch functions start it, the container reads it.

The serving image's own entry point is left out, so the command stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sd_contract.environment import Reader, text

COMMAND = ("python3", "-m", "sd_serving.bulk")
"""ContainerEntrypoint; the image's PYTHONPATH finds it."""
MODEL, WORK = "model", "work"
"""Channels: the variant's artifact, whole, and the batch's parts, of which an instance gets some
(ShardedByS3Key)."""
MAX_FAILURE_CHARS = 1024
"""SageMaker's, of output/failure (developer guide, How Amazon SageMaker Signals Algorithm
Success)."""


@dataclass(frozen=True)
class BulkJob:
    """Of a job's environment, besides the serving container's."""

    bucket: str
    batch_id: str
    signing_function: str = ""
    """Its name; "": pictures aren't signed."""
    picture_bucket: str = ""
    """By which pictures pass to that function."""

    def to_env(self) -> dict[str, str]:
        env = {
            "SD_BATCH_BUCKET": self.bucket,
            "SD_BATCH_ID": self.batch_id,
            "SD_SIGNING_FUNCTION": self.signing_function,
            "SD_PICTURE_BUCKET": self.picture_bucket if self.signing_function else "",
        }
        return {name: value for name, value in env.items() if value}

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> BulkJob:
        """Raises ConfigError."""
        read = Reader(env)
        job = cls(
            bucket=read("SD_BATCH_BUCKET", text("the batches' bucket")),
            batch_id=read("SD_BATCH_ID", text("a batch's id")),
            signing_function=read("SD_SIGNING_FUNCTION", text(), ""),
            picture_bucket=read("SD_PICTURE_BUCKET", text(), ""),
        )
        read.raise_problems()
        return job
