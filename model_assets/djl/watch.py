"""Ends DJL Serving a moment after this Python process is gone, and with it the container, which
SageMaker starts again.

DJL notices a death over a request, and with SERVING_RETRY_THRESHOLD=0 its /ping fails from then on.
One between two requests it never notices: it answers 400 "Backend Python process is stopped." for
good, and /ping 200 (seen with 0.27.0; PyPredictor.java, batchPredict).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_S = 1.0
"""For DJL to answer those whose request was lost."""


def end_server_with_this_process() -> subprocess.Popen[bytes]:
    """The watcher. It lives as long as the result is kept."""
    return subprocess.Popen(
        [sys.executable, __file__, str(server_pid())],
        stdin=subprocess.PIPE,
        # Of its own: mpirun ends its process group, and waits for the ends of its pipes.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def server_pid(proc: Path = Path("/proc")) -> int:
    """The parent; under mpirun, that one's (Connection.java, getPythonStartCmd)."""
    parent = os.getppid()
    status = proc / str(parent) / "status"
    if not status.is_file():
        return parent
    lines = (line.partition(":") for line in status.read_text().splitlines())
    fields = {name: value.strip() for name, _, value in lines}
    return int(fields["PPid"]) if fields["Name"] == "mpirun" else parent


def main(server: int) -> None:
    # By its number alone it could be another process by then; not every system has more.
    handle = os.pidfd_open(server) if hasattr(os, "pidfd_open") else None
    # Ends with the one process that holds the other end, however that ended.
    sys.stdin.buffer.read()
    if handle is None:
        time.sleep(GRACE_S)
        os.kill(server, signal.SIGKILL)
    elif select.select([handle], [], [], GRACE_S) == ([], [], []):  # it hasn't ended by itself
        signal.pidfd_send_signal(handle, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
