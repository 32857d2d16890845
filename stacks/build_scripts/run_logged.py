"""Runs one line of bash, shows its output and, if it fails, notes its last words for send_signal.

python3 stacks/build_scripts/run_logged.py 'the command line'
"""

import os
import subprocess
import sys
from collections import deque
from pathlib import Path

LINES = 3


def run(line: str, note: Path) -> int:
    """The command's exit status. `note` is written only where it isn't 0."""
    last: deque[str] = deque(maxlen=LINES)
    with subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", line],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for output in process.stdout:
            print(output, end="", flush=True)
            if output.strip():
                last.append(output.strip())
    if process.returncode:
        note.write_text("\n".join(last) or f"exit status {process.returncode}, without a word")
    return process.returncode


def note_path() -> Path:
    """Beside the source, as every build on a host has its own."""
    return Path(os.environ["CODEBUILD_SRC_DIR"]) / ".failure"


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], note_path()))
