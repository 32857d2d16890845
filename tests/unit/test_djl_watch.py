"""The end of the Python process ends the server that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from djl.watch import server_pid
from tests.fakes.serving import ASSETS

MODEL = """
import os, signal, sys
from djl.watch import end_server_with_this_process
watcher = end_server_with_this_process()
print("watched", flush=True)
sys.stdin.readline()
{end}
"""
SERVER = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True)
sys.stdin.close()
import time
time.sleep(600)
"""


@pytest.mark.parametrize("end", ["os._exit(1)", "os.kill(os.getpid(), signal.SIGKILL)", "pass"])
def test_the_server_ends_with_its_python_process(end: str) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, MODEL.format(end=end)],
        env={**os.environ, "PYTHONPATH": str(ASSETS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    # The model's process has both ends of the server's.
    assert server.stdout
    assert server.stdin
    assert server.stdout.readline() == "watched\n"
    assert server.poll() is None
    server.stdin.write("go\n")
    server.stdin.close()
    assert server.wait(60) == -signal.SIGKILL
    server.stdout.close()


def test_under_mpirun_the_server_is_the_one_above(tmp_path: Path) -> None:
    status = tmp_path / str(os.getppid()) / "status"
    assert server_pid(tmp_path) == os.getppid()  # a system without /proc
    status.parent.mkdir()
    status.write_text("Name:\tdjl_host\nUmask:\t0022\nPPid:\t7\n")
    assert server_pid(tmp_path) == os.getppid()
    status.write_text("Name:\tmpirun\nUmask:\t0022\nPPid:\t7\n")
    assert server_pid(tmp_path) == 7
