"""What the front door makes of failures as the local cloud's SageMaker runtime has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from front_door.endpoint import generate
from front_door.errors import (
    EndpointDied,
    EndpointNotFound,
    EndpointOverloaded,
    EndpointTimeout,
    EndpointUnavailable,
    FrontDoorError,
    InvalidRequest,
)
from local_cloud.child import ChildCloud
from tests.fakes.front_door import generation_request, variant
from tests.fakes.local_account import wait_for
from tests.fakes.toy_endpoint import ToyEndpoint


class Ordered:
    """The runtime's client; what is sent is an order to the toy container."""

    def __init__(self, cloud: ChildCloud, order: Mapping[str, Any]) -> None:
        self._client, self._order = cloud.client("sagemaker-runtime"), order

    def invoke_endpoint(self, **kwargs: Any) -> Any:
        return self._client.invoke_endpoint(**{**kwargs, "Body": json.dumps(self._order)})


def failure(deployment: ToyEndpoint, **order: Any) -> FrontDoorError:
    request = generation_request(variant(endpoint_name=deployment.name))
    with pytest.raises(FrontDoorError) as caught:
        generate(Ordered(deployment.cloud, order), request, "id-1")
    return caught.value


def test_no_such_endpoint(cloud: ChildCloud) -> None:
    assert type(failure(ToyEndpoint(cloud, "nobody"))) is EndpointNotFound


def test_one_that_is_being_made(cloud: ChildCloud) -> None:
    deployment = ToyEndpoint(cloud, "creating")
    deployment.sagemaker.create_endpoint(
        EndpointName="creating", EndpointConfigName=deployment.model(Environment={"TOY": "never"})
    )
    assert type(failure(deployment)) is EndpointNotFound
    deployment.delete()


def test_one_that_is_updating_answers_still(cloud: ChildCloud) -> None:
    deployment = ToyEndpoint(cloud, "updating")
    deployment.create()
    deployment.sagemaker.update_endpoint(
        EndpointName="updating",
        EndpointConfigName=deployment.model("-never", Environment={"TOY": "never"}),
    )
    described = deployment.sagemaker.describe_endpoint(EndpointName="updating")
    assert described["EndpointStatus"] == "Updating"
    assert deployment.invoke()["weights"] == "first"
    deployment.delete()


def test_a_container_that_takes_too_long(healthy: ToyEndpoint) -> None:
    assert type(failure(healthy, sleep=600)) is EndpointTimeout


def test_a_container_that_dies_and_then_has_no_healthy_instance(cloud: ChildCloud) -> None:
    deployment = ToyEndpoint(cloud, "dying")
    deployment.create(Environment={"TOY": "once"})

    died = failure(deployment, crash=True)
    assert type(died) is EndpointDied
    assert "could not get a response from the dying endpoint" in str(died)

    wait_for(lambda: str(failure(deployment)).startswith("ServiceUnavailable"))
    assert type(failure(deployment)) is EndpointUnavailable
    deployment.delete()


def test_djl_with_a_full_queue(healthy: ToyEndpoint) -> None:
    body = {
        "code": 503,
        "type": "WlmCapacityException",
        "message": "Worker queue capacity exceeded",
    }
    error = failure(healthy, status=503, body=json.dumps(body, indent=2))
    assert type(error) is EndpointOverloaded


def test_pictures_larger_than_an_answer_may_be(healthy: ToyEndpoint) -> None:
    error = failure(healthy, size=6_291_456)
    assert isinstance(error, InvalidRequest)
    assert (error.param, error.code) == ("n", "response_too_large")
