"""A cloud that is ended, by whatever means, leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local_cloud.child import ChildCloud, CloudFailed, check_port
from local_cloud.processes import ProcessGroup, clean_environment, end_noted_groups, free_port
from tests.fakes.local_account import wait_for
from tests.fakes.processes import alive

# A cloud with a build under way.
PARENT = """
import io, json, time, zipfile
from local_cloud.child import ChildCloud
from tests.fakes.local_account import allow, make_role, wait_for
with ChildCloud() as cloud:
    s3, builds = cloud.client("s3"), cloud.client("codebuild")
    with zipfile.ZipFile(source := io.BytesIO(), "w"):
        pass
    s3.create_bucket(Bucket="source")
    s3.put_object(Bucket="source", Key="a.zip", Body=source.getvalue())
    phases = {"build": {"commands": ["sleep 987"]}}
    spec = {"version": "0.2", "env": {"shell": "bash"}, "phases": phases}
    builds.create_project(
        name="project", serviceRole=make_role(cloud, "b", "codebuild", allow("*")),
        source={"type": "S3", "location": "source/a.zip", "buildspec": json.dumps(spec)},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "i",
                     "computeType": "BUILD_GENERAL1_SMALL"})
    builds.start_build(projectName="project")
    wait_for(lambda: list(cloud.settings.groups.iterdir()))
    groups = [int(path.name) for path in cloud.settings.groups.iterdir()]
    print(json.dumps({"state": str(cloud.state), "port": cloud.port, "groups": groups,
                      "server": cloud.pid}), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("victim", ["parent", "server"])
def test_a_kill_leaves_no_process_folder_or_port(victim: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        facts = json.loads(parent.stdout.readline())
        assert all(map(alive, facts["groups"]))

        os.kill(parent.pid if victim == "parent" else facts["server"], signal.SIGKILL)

        wait_for(lambda: not Path(facts["state"]).exists())
        wait_for(lambda: not any(map(alive, facts["groups"])))
        wait_for(lambda: not alive(facts["server"]))
        wait_for(lambda: is_free(facts["port"]))
    finally:
        parent.kill()
        parent.communicate()


def test_a_taken_port_is_a_sentence_that_says_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(CloudFailed, match=f"Port {port} .* SD_LOCAL_PORT={port + 1} make up"):
            ChildCloud(port)


def test_a_free_port_is_nobody_else_s_until_its_server_has_come_up() -> None:
    ports = [free_port() for _ in range(1000)]
    assert len(set(ports)) == len(ports)
    socket.create_server(("127.0.0.1", ports[0])).close()


def test_a_group_ends_with_all_it_started(tmp_path: Path) -> None:
    lines: list[str] = []
    group = ProcessGroup(
        ["bash", "-c", "sleep 600 & echo $!; wait"],
        environment=clean_environment({}),
        folder=tmp_path,
        notes=tmp_path,
        on_line=lines.append,
    )
    wait_for(lambda: bool(lines))

    group.stop()

    wait_for(lambda: not alive(int(lines[0])))
    assert list(tmp_path.iterdir()) == []


def test_a_note_about_a_process_id_that_is_someone_elses_now_is_passed_over(
    tmp_path: Path,
) -> None:
    sleeper = subprocess.Popen(["sleep", "600"], start_new_session=True)
    (tmp_path / str(sleeper.pid)).write_text("1.0")

    end_noted_groups(tmp_path, grace_s=0.1)

    assert sleeper.poll() is None
    sleeper.kill()
    sleeper.wait()


def is_free(port: int) -> bool:
    try:
        check_port(port)
    except CloudFailed:
        return False
    return True
