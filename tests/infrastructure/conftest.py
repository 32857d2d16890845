"""The app synthesized once for each profile: a synthesis takes seconds."""

from collections.abc import Iterator

import pytest

from tests.infrastructure.support import ENDPOINT_STACKS, Synthesized, synthesize, validated


@pytest.fixture(scope="session", autouse=True)
def _quiet_jsii() -> Iterator[None]:
    """jsii warns on standard error of a Node it calls too old; it works with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "18,20")
        yield


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """What AWS gets."""
    return synthesize(tmp_path_factory.mktemp("aws"), validated)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """What the local cloud gets."""
    return synthesize(tmp_path_factory.mktemp("local"), profile="local")


@pytest.fixture(params=ENDPOINT_STACKS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)
