"""What the end-to-end tests of the variants share."""

from __future__ import annotations

import base64
import io
import json
import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from benchmark.prompts import load_prompts
from inf2.parity import psnr_db
from sd_contract.manifest import NAME
from sd_contract.sampling import STANDARD
from tests.fakes.local_account import Cloud, log_lines, wait_for
from tests.local.up_cloud import UpCloud

# As the fixture deployed it: a deploy without it would take it back.
FRESH_MODELS = "sd.api.cache_ttl_s=0"
TWENTY = load_prompts("tiny").prompts[:20]
# Against a hang alone; nothing is judged by how long it takes.
wait_until = partial(wait_for, seconds=300.0)


def deploy(up: UpCloud, stack: str, *context: str) -> str:
    return up.deploy(stack, FRESH_MODELS, *context)


def pictures_in(up: UpCloud, model: str, quality: str) -> list[bytes]:
    """Twenty in `standard`, five in another mode; each says in which."""
    prompts = TWENTY if quality == STANDARD else TWENTY[:5]
    asked = [{"prompt": p.text, "seed": p.seed, "quality": quality} for p in prompts]
    pictures = [up.pictures(model=model, **each)[0] for each in asked]
    for picture in pictures:
        said = str(Image.open(io.BytesIO(picture)).info["parameters"])
        assert f"Quality: {quality}," in said, said
    return pictures


# What the other variants' are measured by.
pictures_of_g5 = cache(lambda up, quality: pictures_in(up, "g5", quality))


def least_agreement_with_g5(up: UpCloud, model: str, quality: str) -> float:
    """PSNR in dB of the worst picture; says more."""
    pairs = zip(pictures_in(up, model, quality), pictures_of_g5(up, quality), strict=True)
    db = [psnr_db(picture, other) for picture, other in pairs]
    print(
        f"\n{model} against g5, {quality}, {len(db)} pictures: PSNR at least {min(db):.1f} dB, "
        f"median {statistics.median(db):.1f} dB (100 is identical)"
    )
    return min(db)


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
    body = up.client("s3").get_object(Bucket=bucket, Key=prefix + NAME)["Body"].read()
    document: dict[str, Any] = json.loads(body)
    return document


def builds(cloud: Cloud) -> list[str]:
    ids: list[str] = cloud.client("codebuild").list_builds()["ids"]
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


def invoke(up: UpCloud, endpoint: str, request: dict[str, Any]) -> dict[str, Any]:
    """The container's answer, past the front door."""
    answer = up.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, Body=json.dumps(request), ContentType="application/json"
    )
    document: dict[str, Any] = json.loads(answer["Body"].read())
    return document


def invoke_together(up: UpCloud, endpoint: str) -> list[dict[str, Any]]:
    """Eight answers to requests that came at once, which are their lone twins' within a level."""
    requests = [{"prompt": p.text, "seed": p.seed, "num_inference_steps": 10} for p in TWENTY[:8]]
    alone = [invoke(up, endpoint, request) for request in requests]
    with ThreadPoolExecutor(len(requests)) as pool:
        together = list(pool.map(lambda request: invoke(up, endpoint, request), requests))
    pairs = zip(alone, together, strict=True)
    off = [np.abs(_drawn(one) - _drawn(other)).max() for one, other in pairs]
    assert {answer["engine"]["images_in_batch"] for answer in alone} == {1}
    assert max(off) <= 1
    print(f"\neight at once on {endpoint}: off their lone twins by at most {max(off)} of 255")
    return together


def _drawn(answer: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["images"][0]))), dtype=int)
