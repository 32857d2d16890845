"""One running cloud for all tests of the local cloud: each takes names of its own in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local_cloud.child import ChildCloud
from tests.fakes.asynchronous_toy import AsyncToy, make_asynchronous
from tests.fakes.deployed_api import ORIGINS, DeployedApi
from tests.fakes.toy_endpoint import ToyEndpoint, make_toy
from tests.fakes.training_job import make_training_account

INVOKE_TIMEOUT_S = 2.0


@pytest.fixture(scope="session")
def cloud() -> Iterator[ChildCloud]:
    with ChildCloud(invoke_timeout_s=INVOKE_TIMEOUT_S) as running:
        make_toy(running)
        yield running


@pytest.fixture(scope="session")
def healthy(cloud: ChildCloud) -> ToyEndpoint:
    endpoint = ToyEndpoint(cloud, "healthy")
    assert endpoint.create(Environment={"TOY": "yes"})["EndpointStatus"] == "InService"
    return endpoint


@pytest.fixture(scope="session")
def toy(cloud: ChildCloud) -> AsyncToy:
    make_asynchronous(cloud)
    endpoint = AsyncToy(cloud, "async-toy")
    assert endpoint.create_async()["EndpointStatus"] == "InService"
    return endpoint


@pytest.fixture(scope="session")
def training_account(cloud: ChildCloud) -> None:
    make_training_account(cloud)


@pytest.fixture(scope="session")
def api(cloud: ChildCloud, tmp_path_factory: pytest.TempPathFactory) -> DeployedApi:
    """The app's, with what settings may turn on."""
    context = {
        "sd.prefix": "gate",
        "sd.api.cors_origins": ",".join(ORIGINS),
        "sd.api.waf": "true",
        "sd.api.tracing": "true",
    }
    return DeployedApi(cloud, tmp_path_factory.mktemp("gate"), **context)
