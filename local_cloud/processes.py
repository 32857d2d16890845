"""Process groups that end with the cloud: containers, builds, training jobs.

Each runs in a session of its own, so one signal reaches all it started, and leaves a note in
`<state>/groups/`. `janitor.py` reads the notes when the server is gone, however it went.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
# What reaching the network from here takes: for builds, which have one. Compared in capitals.
NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE",
           "CURL_CA_BUNDLE", "SSL_CERT_DIR")  # fmt: skip


# Its operations are too short to be worth sharing out among threads.
SMALL_MODEL_BYTES = 200 * 2**20


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What a container sees of this machine's environment, plus `extra`."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {
        **kept,
        # A container's log is read as it is written.
        "PYTHONUNBUFFERED": "1",
        # Several containers share these cores: threads that wait by spinning, OpenMP's default,
        # would keep them from one another, and a picture would take a hundred times as long.
        "OMP_WAIT_POLICY": "PASSIVE",
        **extra,
    }


def network_environment() -> dict[str, str]:
    """This machine's proxies and package index, and its cache of packages."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in NETWORK or name.startswith("PIP_")
    }
    return {"PIP_CACHE_DIR": str(Path.home() / ".cache" / "pip"), **kept}


def thread_environment(model: Path) -> dict[str, str]:
    """How OpenMP is to use this machine's cores for the model in a folder.

    Threads that wait by spinning take the core from those they wait for once a machine is busy:
    measured on 2 busy cores, 25 steps of the small model took 7.5 s as it comes, 2.5 s with
    passive waiting, 0.8 s with one thread. A model of real size is worth all cores.
    """
    size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    chosen = {"OMP_WAIT_POLICY": "PASSIVE"}
    if size < SMALL_MODEL_BYTES:
        chosen["OMP_NUM_THREADS"] = "1"
    return {name: os.environ.get(name, value) for name, value in chosen.items()}


class ProcessGroup:
    """A command, everything it starts, and its output line by line."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        notes: Path,
        on_line: Callable[[str], None],
    ) -> None:
        """Start `command` in `folder`; `on_line` gets stdout and stderr. OSError if it can't."""
        self._process = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._note = notes / str(self._process.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            self._note.write_text(repr(psutil.Process(self._process.pid).create_time()))
        self._on_line = on_line
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative is a signal's number."""
        return self._process.poll()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """The exit code once it ended and its output was read; None if `timeout_s` passed."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        # What it started may outlive it and hold the pipe open.
        self._reader.join(timeout=2)
        return code

    def stop(self, grace_s: float = 5.0) -> None:
        """End the whole group: SIGTERM, then SIGKILL after `grace_s` to what is left of it. Safe to
        call twice."""
        deadline = time.monotonic() + grace_s
        signal_group(self.pid, signal.SIGTERM)
        # Not only the leader: a shell ends at once, what it started may have to clear up first.
        while time.monotonic() < deadline and (self.exit_code is None or _group_alive(self.pid)):
            time.sleep(0.02)
        self.kill()

    def kill(self) -> None:
        """End the whole group at once, without a signal it could act on. Safe to call twice."""
        signal_group(self.pid, signal.SIGKILL)
        self.wait(5)
        self._note.unlink(missing_ok=True)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._on_line(line.rstrip("\n"))


def signal_group(group: int, number: int) -> None:
    """Signal a process group; one that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def end_noted_groups(notes: Path, grace_s: float = 3.0) -> None:
    """End every group noted in `notes` that is still the one that was noted."""
    groups = []
    for note in notes.glob("*"):
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            # A process id is reused; its start time tells whose it is. A leader that is gone may
            # have left children behind: those are still in its group.
            alive = psutil.pid_exists(int(note.name))
            if alive and psutil.Process(int(note.name)).create_time() != float(note.read_text()):
                continue
            groups.append(int(note.name))
    for group in groups:
        signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and any(_group_alive(group) for group in groups):
        time.sleep(0.05)
    for group in groups:
        signal_group(group, signal.SIGKILL)


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def free_port() -> int:
    """A TCP port of 127.0.0.1 for a server that may take its time to come up.

    For a minute the system gives it to nobody who asks for any port: a connection that has just
    ended is left on it, in TIME_WAIT. Who names it can listen on it, as servers set SO_REUSEADDR.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address: tuple[str, int] = probe.getsockname()
        with socket.create_connection(address):
            # The side that closes first is the one that waits.
            probe.accept()[0].close()
        return address[1]
