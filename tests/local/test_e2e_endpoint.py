"""What stands between a deploy and what is registered, on the local cloud."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_cloud.deployment import failure_reason
from model_assets.tiny.picture_check import describe, expected
from tests.fakes.local_account import fault, log_lines
from tests.local.support import Served, deploy, wait_until
from tests.local.up_cloud import UpCloud, UpFailed

pytestmark = pytest.mark.local

PROMPT = "a red circle on a white background"
CONTAINERS = "/aws/sagemaker/Endpoints/sd-g5"


def registration(up: UpCloud) -> dict[str, Any]:
    found = up.client("ssm").get_parameter(Name="/sd/variants/g5")
    document: dict[str, Any] = json.loads(found["Parameter"]["Value"])
    return document


def base_image_digest(up: UpCloud) -> str:
    """As the build of the endpoint's image has recorded it."""
    sagemaker = up.client("sagemaker")
    served = Served.of(up, "g5")
    config = sagemaker.describe_endpoint_config(EndpointConfigName=served.config)
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    key = model["PrimaryContainer"]["Image"].rsplit(":", 1)[1]
    record = up.client("s3").get_object(Bucket=served.bucket, Key=f"images/{key}.json")
    return str(json.loads(record["Body"].read())["base_digest"])


def test_an_endpoint_that_rolled_back_by_itself_is_not_registered_as_the_new_one(
    up: UpCloud,
) -> None:
    deploy(up, "SdG5Stack")
    before, served = registration(up), Served.of(up, "g5")

    with fault(up, "endpoint-rollback"), pytest.raises(UpFailed) as caught:
        deploy(up, "SdG5Stack", "sd.variants.g5.steps=20")

    reason = failure_reason(str(caught.value))
    assert "SageMaker has rolled the update back by itself" in reason
    assert registration(up) == before
    assert Served.of(up, "g5").key == served.key
    model = up.models()["g5"]
    assert model.default_steps == before["default_steps"] != 20
    assert describe(up.pictures(prompt=PROMPT, seed=3)[0]) == expected(PROMPT)

    deploy(up, "SdG5Stack", "sd.variants.g5.steps=20")
    after = registration(up)
    assert after["default_steps"] == 20
    assert after["built"] == {"base_image_digest": base_image_digest(up), "quality": None}


def test_a_first_deploy_that_fails_leaves_the_log_that_tells_why(up: UpCloud) -> None:
    """And a destroy leaves no group that SageMaker could make again."""
    logs = up.client("logs")
    up.destroy("SdG5Stack")
    (group,) = logs.describe_log_groups(logGroupNamePrefix=CONTAINERS)["logGroups"]
    assert group["retentionInDays"] == 30
    known = len(log_lines(up, CONTAINERS))

    # No processor serves it: the container ends as it starts.
    with pytest.raises(UpFailed) as caught:
        deploy(up, "SdG5Stack", "sd.variants.g5.dtype=float16")
    reason = failure_reason(str(caught.value))
    assert "did not pass the ping health check" in reason
    assert "The local cloud adds: FATAL: " in reason
    said = log_lines(up, CONTAINERS)[known:]
    assert any(line.startswith("FATAL: ") for line in said)

    deploy(up, "SdG5Stack")
    wait_until(lambda: "g5" in up.models())
