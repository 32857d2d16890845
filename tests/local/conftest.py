"""One local cloud with the g5 variant for all end-to-end tests of a session."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import psutil
import pytest

from tests.fakes.local_account import wait_for
from tests.fakes.processes import alive
from tests.local.up_cloud import UpCloud


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpCloud]:
    with UpCloud(tmp_path_factory.mktemp("out")) as running:
        # Front-door answers about which variants there are must not be a minute old here.
        running.deploy("SdApiStack", "sd.api.cache_ttl_s=0")
        yield running
        children = psutil.Process(running.pid).children(recursive=True)
        state = running.state
        # Ctrl-C leaves no process, port or file behind: checked on what all the tests have used.
        assert running.end() == 0
    # The server's janitor goes last, by itself.
    wait_for(lambda: not any(alive(child.pid) for child in children))
    assert not state.exists()
    assert not (running.out / "local.json").exists()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", running.port))
