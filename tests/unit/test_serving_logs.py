from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.fakes.serving import ASSETS

CODE = """
from sd_serving.logs import print_event, print_line
print_event("ready", seconds=1.5)
print_event("broken", traceback="line\\n" * 500)
print_line("FATAL: no memory")
"""


@pytest.mark.skipif(not hasattr(os, "pipe2"), reason="pipes that keep writes apart are Linux's")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_line_and_its_end_are_one_write(unbuffered: str) -> None:
    """What a DJL container's mpirun reads at once is what it puts a tag before."""
    reading, writing = os.pipe2(os.O_DIRECT)  # one read a write
    with subprocess.Popen(
        [sys.executable, "-c", CODE],
        stdout=writing,
        env={**os.environ, "PYTHONPATH": str(ASSETS), "PYTHONUNBUFFERED": unbuffered},
    ) as process:
        os.close(writing)
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            writes = list(iter(lambda: pipe.read(4096), b""))
    assert process.returncode == 0
    assert [write.count(b"\n") for write in writes] == [1, 1, 1]
    assert all(write.endswith(b"\n") for write in writes)
    assert writes[0] == b'{"event": "ready", "seconds": 1.5}\n'
