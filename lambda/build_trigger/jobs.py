"""The SageMaker training jobs that a step's builds start: their names begin with its prefix.

A build that is stopped or times out is killed without a signal (aws/aws-lc#1233), so it can't stop
its own job, which would go on costing for hours.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

log = logging.getLogger(__name__)

# A CreateTrainingJob under way when its build was killed shows up a moment later.
LATE_BY_S = 15


@dataclass(frozen=True)
class Jobs:
    """Wraps a boto3 SageMaker client; its errors pass through."""

    sagemaker: Any

    def stop(self, prefix: str) -> None:
        """Every job of the prefix that runs."""
        for name in self._running(prefix):
            log.info("stopping training job %s", name)
            try:
                self.sagemaker.stop_training_job(TrainingJobName=name)
            except ClientError:
                # Refused where it has just ended by itself.
                if self._status(name) == "InProgress":
                    raise

    def stop_of_killed_build(self, prefix: str, pause: Callable[[float], None]) -> None:
        """The same, and what the build's last request has started. `pause` takes seconds."""
        self.stop(prefix)
        pause(LATE_BY_S)
        self.stop(prefix)

    def _running(self, prefix: str) -> list[str]:
        # Without StatusEquals: it would look at one page's jobs alone, says botocore.
        pages = self.sagemaker.get_paginator("list_training_jobs").paginate(NameContains=prefix)
        return [
            job["TrainingJobName"]
            for page in pages
            for job in page["TrainingJobSummaries"]
            if job["TrainingJobName"].startswith(prefix)
            and job["TrainingJobStatus"] == "InProgress"
        ]

    def _status(self, name: str) -> str:
        described = self.sagemaker.describe_training_job(TrainingJobName=name)
        return str(described["TrainingJobStatus"])
