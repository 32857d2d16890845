"""A variant's engines and instances, deployed, used and destroyed on the local cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from openai import OpenAI

from local_cloud.deployment import failure_reason
from tests.local.support import deploy, wait_until
from tests.local.test_e2e_batches import ended, lines
from tests.local.up_cloud import UpCloud, UpFailed

pytestmark = pytest.mark.local

STACK, G5 = "SdG5Stack", "sd.variants.g5."
# Not due for some ten hours: it would change the range that is looked at.
OPENS = (datetime.now(UTC).hour + 12) % 24
OFFICE = [{"cron": f"0 {OPENS} ? * MON-FRI *", "timezone": "Europe/Vienna", "min": 1, "max": 3}]
SCALING = (
    f"{G5}serve=real-time,async,bulk",
    f"{G5}scaling.max_instances=2",
    f"{G5}scaling.schedule={json.dumps(OFFICE)}",
    f"{G5}async.max_instances=2",
)


@pytest.fixture
def scaled(up: UpCloud) -> Iterator[UpCloud]:
    deploy(up, STACK, *SCALING)
    yield up
    deploy(up, STACK)


def targets(up: UpCloud) -> dict[str, tuple[int, int]]:
    """Ranges by the name of the endpoint."""
    scaling = up.client("application-autoscaling")
    found = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    return {t["ResourceId"].split("/")[1]: (t["MinCapacity"], t["MaxCapacity"]) for t in found}


def instances(up: UpCloud, endpoint: str) -> int:
    described = up.client("sagemaker").describe_endpoint(EndpointName=endpoint)
    (variant,) = described["ProductionVariants"]
    return int(variant["CurrentInstanceCount"])


def test_from_zero_a_batch_wakes_its_endpoint_which_goes_back_to_zero(scaled: UpCloud) -> None:
    assert targets(scaled) == {"sd-g5": (1, 2), "sd-g5-async": (0, 2)}
    wait_until(lambda: instances(scaled, "sd-g5-async") == 0)
    requests = [
        {
            "custom_id": str(seed),
            "url": "/v1/images/generations",
            "body": {"prompt": "a red circle on a white background", "seed": seed},
        }
        for seed in range(5)
    ]
    with OpenAI(base_url=scaled.api.url, api_key=scaled.api.key) as client:
        body = {"requests": requests, "metadata": {"engine": "async"}}
        made: Any = client.post("/batches", body=body, cast_to=object)
        batch = ended(client, made["id"])
        assert batch.status == "completed", batch
        assert len(lines(client, batch.output_file_id)) == 5
    wait_until(lambda: instances(scaled, "sd-g5-async") == 0)
    # The endpoint that answers at once never has none.
    assert instances(scaled, "sd-g5") >= 1


def endpoints(up: UpCloud) -> dict[str, str]:
    """The variant's, with their statuses."""
    found = up.client("sagemaker").list_endpoints()["Endpoints"]
    ours = ("sd-g5", "sd-g5-async")
    return {e["EndpointName"]: e["EndpointStatus"] for e in found if e["EndpointName"] in ours}


def test_an_instance_that_scales_is_changed_by_two_deploys(scaled: UpCloud) -> None:
    """SageMaker refuses it of a scalable target (developer guide, endpoint-scaling-update)."""
    larger = f"{G5}instance_type=ml.g5.2xlarge"
    # While instances come or go, SageMaker refuses any update.
    wait_until(lambda: instances(scaled, "sd-g5-async") == 0)
    wait_until(lambda: set(endpoints(scaled).values()) == {"InService"})
    with pytest.raises(UpFailed) as caught:
        deploy(scaled, STACK, *SCALING, larger)
    assert "would change the instance type" in failure_reason(str(caught.value))
    deploy(scaled, STACK)
    deploy(scaled, STACK, larger)
    assert targets(scaled) == {}


def test_a_destroy_leaves_no_target_and_no_endpoint(scaled: UpCloud) -> None:
    scaled.destroy(STACK)
    assert targets(scaled) == {}
    assert endpoints(scaled) == {}
    scaling = scaled.client("application-autoscaling")
    left = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert left == []
