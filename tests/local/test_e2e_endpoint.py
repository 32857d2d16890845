"""What stands between a deploy and what is registered, on the local cloud."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
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
        deploy(up, "SdG5Stack", "sd.variants.g5.modes.standard.steps=20")

    reason = failure_reason(str(caught.value))
    assert "SageMaker has rolled the update back by itself" in reason
    assert registration(up) == before
    assert Served.of(up, "g5").key == served.key
    model = up.models()["g5"]
    assert model.default_steps == before["default_steps"] != 20
    assert describe(up.pictures(prompt=PROMPT, seed=3)[0]) == expected(PROMPT)

    deploy(up, "SdG5Stack", "sd.variants.g5.modes.standard.steps=20")
    after = registration(up)
    assert after["default_steps"] == 20
    assert after["built"] == {"base_image_digest": base_image_digest(up), "quality": None}


# A canary takes two instances at least.
CANARY = (
    "sd.variants.g5.scaling.min_instances=2",
    "sd.variants.g5.scaling.max_instances=2",
    "sd.variants.g5.rollout.type=canary",
    "sd.variants.g5.rollout.percent=50",
)
REQUESTS_PER_S = 5


@contextmanager
def caller(up: UpCloud) -> Iterator[list[int]]:
    """Sends REQUESTS_PER_S through the API, none of them twice; the statuses of the answers."""
    statuses: list[int] = []
    ended = threading.Event()

    def send(http: httpx.Client) -> None:
        request = up.api.generation(model="g5", prompt=PROMPT, num_inference_steps=1)
        statuses.append(http.send(request).status_code)

    def run() -> None:
        with httpx.Client(timeout=60, trust_env=False) as http, ThreadPoolExecutor(8) as pool:
            sent = []
            while not ended.wait(1 / REQUESTS_PER_S):
                sent.append(pool.submit(send, http))
            for each in sent:
                each.result()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        thread.join()


def test_callers_see_nothing_of_a_model_that_can_t_be_served(up: UpCloud) -> None:
    deploy(up, "SdG5Stack", *CANARY)
    served = Served.of(up, "g5")
    with caller(up) as statuses, pytest.raises(UpFailed) as caught:
        # No processor serves it: the container ends as it starts.
        deploy(up, "SdG5Stack", *CANARY, "sd.variants.g5.dtype=float16")
    assert "did not pass the ping health check" in failure_reason(str(caught.value))
    # 429: the usage plan allows as many as are sent.
    assert {200} <= {*statuses} <= {200, 429}
    assert Served.of(up, "g5").config == served.config


def test_a_canary_slower_than_its_variant_says_is_sent_back(up: UpCloud) -> None:
    """As with a scheduler that takes more of the UNet for a step."""
    deploy(up, "SdG5Stack", *CANARY)
    before = registration(up)
    with caller(up) as statuses, pytest.raises(UpFailed) as caught:
        deploy(up, "SdG5Stack", *CANARY, "sd.variants.g5.seconds_per_step=0.0001",
               "sd.variants.g5.sizes=64x64,64x128")  # fmt: skip
    reason = failure_reason(str(caught.value))
    assert "-slow is in ALARM" in reason
    assert {200} <= {*statuses} <= {200, 429}
    assert registration(up) == before


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
