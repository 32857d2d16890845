"""How an image's record is run as a process of this machine.

Paths of the image that exist in its rootfs are mapped there; `python` is this interpreter; the
rest of the environment is the container's own. Nothing isolates the process: it is trusted code.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_cloud.docker.store import ImageStore
from local_cloud.settings import REPOSITORY

PYTHON_NAMES = ("python", "python3")


@dataclass(frozen=True)
class ContainerCommand:
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


class NotRunnable(Exception):
    """The image names no command; the message says which image."""


def choose_command(
    store: ImageStore, digest: str, entrypoint: Sequence[str] = ()
) -> ContainerCommand:
    """The command, environment and folder for an image; `entrypoint` goes before its own.
    NotRunnable where there is none, KeyError for no image."""
    record, rootfs = store.load(digest), store.rootfs(digest)
    environment = {name: _mapped_list(value, rootfs) for name, value in record.environment.items()}
    folder = rootfs / record.workdir.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    if "/djl-inference" in record.base_image and not entrypoint:
        # DJL-Serving is a Java server that isn't here; its Python handler contract is.
        path = ":".join(filter(None, [environment.get("PYTHONPATH"), str(REPOSITORY)]))
        host = (sys.executable, "-m", "local_cloud.djl.host", str(rootfs))
        # The image's own paths stay in what DJL reads: its host maps them.
        return ContainerCommand(host, {**record.environment, "PYTHONPATH": path}, folder)
    if not (command := entrypoint or record.entrypoint):
        raise NotRunnable(f"The image from {record.base_image} has no ENTRYPOINT")
    program, *words = command
    first = sys.executable if Path(program).name in PYTHON_NAMES else _mapped(program, rootfs)
    words = [_mapped(word, rootfs) for word in words]
    return ContainerCommand((first, *words), environment, folder)


def _mapped(value: str, rootfs: Path) -> str:
    inside = rootfs / value.lstrip("/")
    return str(inside) if value.startswith("/") and inside.exists() else value


def _mapped_list(value: str, rootfs: Path) -> str:
    return ":".join(_mapped(part, rootfs) for part in value.split(":"))
