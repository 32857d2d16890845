"""What comes first on the PATH of builds and jobs: `python3`, `python` and `docker`."""

from __future__ import annotations

import shutil
import stat
import sys
import threading
from pathlib import Path

from local_cloud.settings import REPOSITORY, CloudSettings


def tool_folder(settings: CloudSettings) -> Path:
    folder = settings.state / "bin"
    if not folder.exists():
        making = settings.state / f"bin-{threading.get_ident()}"
        making.mkdir()
        # Scripts, not links: an interpreter that is linked to forgets its virtual environment.
        python = f'exec "{sys.executable}" "$@"'
        docker = (
            f'SD_LOCAL_IMAGES="{settings.images}" PYTHONPATH="{REPOSITORY}" '
            f'exec "{sys.executable}" -P -m local_cloud.docker.shim "$@"'
        )
        for name, line in (("python3", python), ("python", python), ("docker", docker)):
            path = making / name
            path.write_text(f"#!/bin/sh\n{line}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        try:
            making.rename(folder)
        except OSError:
            # Another build was quicker.
            shutil.rmtree(making)
    return folder
