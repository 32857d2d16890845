"""An endpoint of several instances, as the local cloud has it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.child import ChildCloud
from tests.fakes.local_account import fault, wait_for
from tests.fakes.processes import alive
from tests.fakes.toy_endpoint import ToyEndpoint

LEAST_BUSY = {"RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}}


def pids(endpoint: ToyEndpoint, count: int = 20) -> set[int]:
    """Of the containers that so many requests come to."""
    return {endpoint.invoke()["pid"] for _ in range(count)}


@pytest.fixture(scope="module")
def pair(cloud: ChildCloud) -> ToyEndpoint:
    endpoint = ToyEndpoint(cloud, "pair")
    endpoint.create(variant={"InitialInstanceCount": 2, **LEAST_BUSY})
    return endpoint


def test_each_instance_is_a_container_and_the_less_busy_one_is_asked(pair: ToyEndpoint) -> None:
    assert pair.instances() == (2, 2)
    answers: list[dict[str, Any]] = []
    asking = [
        threading.Thread(target=lambda: answers.append(pair.invoke(sleep=0.5))) for _ in range(2)
    ]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert len({answer["pid"] for answer in answers}) == 2


def test_scaling_adds_and_takes_away_while_the_endpoint_serves(pair: ToyEndpoint) -> None:
    before = pids(pair)
    described = pair.scale(3)
    assert described["EndpointStatus"] == "InService"
    assert pair.instances() == (3, 3)

    busy = threading.Thread(target=lambda: pair.invoke(sleep=1))
    busy.start()
    pair.scale(1)
    busy.join()
    assert pair.instances() == (1, 1)
    (left,) = pids(pair)
    wait_for(lambda: not any(alive(pid) for pid in before - {left}))
    pair.scale(2)


def test_an_endpoint_is_listed_until_it_is_deleted(cloud: ChildCloud) -> None:
    endpoint = ToyEndpoint(cloud, "listed")
    endpoint.create()

    def listed() -> dict[str, str]:
        found = endpoint.sagemaker.list_endpoints()["Endpoints"]
        return {one["EndpointName"]: one["EndpointStatus"] for one in found}

    assert listed()["listed"] == "InService"
    endpoint.delete()
    assert "listed" not in listed()


def test_one_change_at_a_time(cloud: ChildCloud) -> None:
    endpoint = ToyEndpoint(cloud, "changing")
    endpoint.create()
    endpoint.update("-never", Environment={"TOY": "never"})
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        endpoint.scale(2)
    endpoint.delete()


def test_a_real_time_endpoint_keeps_an_instance(pair: ToyEndpoint) -> None:
    with pytest.raises(ClientError, match="must be at least 1"):
        pair.scale(0)


def test_without_capacity_the_endpoint_serves_on_as_it_was(pair: ToyEndpoint) -> None:
    with fault(pair.cloud, "endpoint-capacity"):
        described = pair.scale(3)
    assert described["EndpointStatus"] == "InService"
    assert "InsufficientInstanceCapacity" in described["FailureReason"]
    assert pair.instances() == (2, 2)


def test_an_update_begins_with_the_configuration_s_instances_unless_they_are_retained(
    cloud: ChildCloud,
) -> None:
    endpoint = ToyEndpoint(cloud, "retains")
    endpoint.create()
    endpoint.scale(2)
    endpoint.update("-kept", retain=True)
    endpoint.settled()
    assert endpoint.instances() == (2, 2)
    endpoint.update("-reset")
    endpoint.settled()
    assert endpoint.instances() == (1, 1)
    endpoint.delete()
