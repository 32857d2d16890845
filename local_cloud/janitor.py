"""Clears up after the server, whatever ended it: `python -m local_cloud.janitor <state>`.

It holds the read end of a pipe whose other end only the server has. End of file means that the
server is gone, be it by SIGKILL: then its process groups are ended and its folder is removed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from local_cloud.processes import end_noted_groups


def start(state: Path) -> subprocess.Popen[bytes]:
    """Start the janitor of this process; it ends by itself after this one."""
    return subprocess.Popen(
        [sys.executable, "-m", "local_cloud.janitor", str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Ctrl-C goes to the terminal's group; the janitor has to outlive it.
        start_new_session=True,
        cwd=Path(__file__).resolve().parent.parent,
    )


def main(state: Path) -> None:
    """Wait for the server's end, then clear up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    end_noted_groups(state / "groups")
    shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
