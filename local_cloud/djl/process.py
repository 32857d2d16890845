"""DJL Serving's hold on its Python process: started, spoken to, its output put into the log.

After engines/python PyProcess.java and Connection.java of v0.27.0. Once lost, the process is never
started again: under mpirun there is no second device to start one on (PyModel.newPredictor).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from local_cloud.djl.messages import Input, Output
from local_cloud.settings import REPOSITORY

_READ_BYTES = 4096
"""What mpirun reads at once (orte/mca/iof, ORTE_IOF_BASE_MSG_MAX)."""
_METRICS = "[METRICS]"


class ProcessLost(Exception):
    """The process died or took too long over a request; DJL's EngineException."""


class PythonProcess:
    def __init__(self, folder: Path, entry_point: str, env: Mapping[str, str]) -> None:
        """Starts it; the model is loaded by the first request."""
        ours, theirs = socket.socketpair()
        outputs = [_pipe(), _pipe()]
        # PyEnv.java, getEnvironmentVars: the engine's own folder, then the model's.
        path = [*filter(None, [env.get("PYTHONPATH")]), str(REPOSITORY), str(folder)]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "local_cloud.djl.engine",
             str(folder), entry_point, str(theirs.fileno())],
            cwd=folder,
            env={**env, "PYTHONPATH": ":".join(path)},
            stdin=subprocess.DEVNULL,
            stdout=outputs[0][1],
            stderr=outputs[1][1],
            pass_fds=[theirs.fileno()],
        )  # fmt: skip
        theirs.close()
        self._connection = Connection(ours.detach())
        self._name = f"W-{self._process.pid}-{folder.name[:15]}"
        self._gone = threading.Event()
        self._readers = []
        for (reading, writing), stream in zip(outputs, ("stdout", "stderr"), strict=True):
            os.close(writing)
            reader = threading.Thread(target=self._read, args=(reading, stream), daemon=True)
            reader.start()
            self._readers.append(reader)

    @property
    def stopped(self) -> bool:
        """Whether its output has ended. DJL knows no other sign between two requests."""
        return self._gone.is_set()

    def predict(self, request: Input, timeout_s: float) -> Output:
        """Raises ProcessLost, with the process killed."""
        try:
            self._connection.send(request)
            if not self._connection.poll(timeout_s):
                raise ProcessLost("java.util.concurrent.TimeoutException")
            answer: Output = self._connection.recv()
            return answer
        except (EOFError, OSError):
            self.stop()
            raise ProcessLost(
                "java.util.concurrent.ExecutionException: java.io.IOException: "
                "Python worker disconnected."
            ) from None
        except ProcessLost:
            self.stop()
            raise

    def stop(self) -> None:
        """Kills it, and waits for its output. Safe to call twice."""
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            # What it started may hold the pipes open.
            reader.join(2)

    def _read(self, descriptor: int, stream: str) -> None:
        level = "INFO" if stream == "stdout" else "WARN"
        with os.fdopen(descriptor, "rb", buffering=0) as pipe:
            chunks = iter(lambda: pipe.read(_READ_BYTES), b"")
            for line in tagged(chunks, f"[1,0]<{stream}>:"):
                # DJL writes these to logs/model_metric.log (log4j2-plain.xml).
                if _METRICS not in line:
                    log("PyProcess", f"{self._name}-{stream}: {line}", level)
        self._gone.set()


def tagged(chunks: Iterable[bytes], tag: str) -> Iterator[str]:
    """Lines of what `mpirun --tag-output` makes of a process's writes: the tag stands before each
    chunk that was read, not before each line (orte/mca/iof/base/iof_base_output.c)."""
    mark = tag.encode()
    text = b""
    for chunk in chunks:
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            yield (text + mark + line).decode(errors="replace")
            text = b""
        if rest:
            text += mark + rest
    if text:
        yield text.decode(errors="replace")


def log(logger: str, message: str, level: str = "INFO") -> None:
    """As DJL's console does on SageMaker (conf/log4j2-plain.xml)."""
    os.write(1, f"[{level:5}] {logger} - {message}\n".encode())


def _pipe() -> tuple[int, int]:
    """(reading end, writing end). Where the system can, every write is read by itself, as it is
    by mpirun unless two come within a moment."""
    return os.pipe2(os.O_DIRECT | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
