"""What the end-to-end tests of the variants share."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from benchmark.prompts import load_prompts
from inf2.parity import psnr_db
from tests.fakes.local_account import log_lines
from tests.local.up_cloud import UpCloud

# As the fixture deployed it: a deploy without it would take it back.
FRESH_MODELS = "sd.api.cache_ttl_s=0"
TWENTY = load_prompts("tiny").prompts[:20]
# Against a hang alone; nothing is judged by how long it takes.
PATIENCE_S = 300.0


def deploy(up: UpCloud, stack: str, *context: str) -> str:
    return up.deploy(stack, FRESH_MODELS, *context)


def twenty_pictures(up: UpCloud, model: str) -> list[bytes]:
    return [up.pictures(model=model, prompt=p.text, seed=p.seed)[0] for p in TWENTY]


@cache
def twenty_of_g5(up: UpCloud) -> list[bytes]:
    """What the other variants' are measured by."""
    return twenty_pictures(up, "g5")


@dataclass(frozen=True)
class Agreement:
    """PSNR in dB of each picture of two variants."""

    model: str
    db: tuple[float, ...]

    @classmethod
    def with_g5(cls, up: UpCloud, model: str) -> Agreement:
        pairs = zip(twenty_pictures(up, model), twenty_of_g5(up), strict=True)
        return cls(model, tuple(psnr_db(picture, other) for picture, other in pairs))

    def __str__(self) -> str:
        low, middle = min(self.db), statistics.median(self.db)
        return (
            f"{self.model} against g5, {len(self.db)} pictures: PSNR at least {low:.1f} dB, "
            f"median {middle:.1f} dB (100 is identical)"
        )


@dataclass(frozen=True)
class Served:
    """What an endpoint serves."""

    config: str
    bucket: str
    prefix: str
    key: str

    @classmethod
    def of(cls, up: UpCloud, variant: str, prefix: str = "sd") -> Served:
        """Fails where the endpoint isn't in service."""
        sagemaker = up.client("sagemaker")
        endpoint = sagemaker.describe_endpoint(EndpointName=f"{prefix}-{variant}")
        assert endpoint["EndpointStatus"] == "InService"
        name = endpoint["EndpointConfigName"]
        config = sagemaker.describe_endpoint_config(EndpointConfigName=name)
        (main,) = config["ProductionVariants"]
        container = sagemaker.describe_model(ModelName=main["ModelName"])["PrimaryContainer"]
        uri = urlsplit(container["ModelDataSource"]["S3DataSource"]["S3Uri"])
        prefix = uri.path.lstrip("/")
        return cls(name, uri.netloc, prefix, container["Environment"]["SD_ARTIFACT_KEY"])


def names_below(up: UpCloud, bucket: str, prefix: str) -> list[str]:
    pages = up.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", [])]


def manifest(up: UpCloud, bucket: str, prefix: str) -> dict[str, Any]:
    body = up.client("s3").get_object(Bucket=bucket, Key=f"{prefix}manifest.json")["Body"].read()
    document: dict[str, Any] = json.loads(body)
    return document


def builds(up: UpCloud) -> list[str]:
    ids: list[str] = up.client("codebuild").list_builds()["ids"]
    return sorted(ids)


def log_streams(up: UpCloud) -> dict[str, str]:
    """What each build's log is named by, by the build's id."""
    found = up.client("codebuild").batch_get_builds(ids=builds(up))["builds"]
    return {build["id"]: build["logs"]["streamName"].split("/")[0] for build in found}


def training_jobs(up: UpCloud) -> dict[str, str]:
    """Status by name."""
    found = up.client("sagemaker").list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
    return {job["TrainingJobName"]: job["TrainingJobStatus"] for job in found}


def log_of_compile(up: UpCloud) -> list[str]:
    """Of the builds that compile."""
    described = up.client("cloudformation").describe_stacks(StackName="SdStorageStack")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described[0]["Outputs"]}
    return log_lines(up, outputs["BuildLogGroup"], "compile-inf2/")


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.1)
