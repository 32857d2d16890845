"""Node, which comes with requirements-dev.txt, and the CDK CLI that package-lock.json pins."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from local_cloud.failed import Failed
from local_cloud.settings import REPOSITORY

# Node's wheel puts its commands beside Python's.
NODE_FOLDER = str(Path(sys.executable).parent)
SEARCH_PATH = os.pathsep.join([NODE_FOLDER, os.environ.get("PATH", os.defpath)])


class NodeFailed(Failed):
    """npm or Node gave up; the message says what to do."""


@dataclass(frozen=True)
class CdkCli:
    program: Path
    node: str
    """Node's version."""


def cdk_cli() -> CdkCli:
    """Make sure of the pinned CDK CLI. NodeFailed."""
    lock = REPOSITORY / "package-lock.json"
    installed = REPOSITORY / "node_modules" / ".package-lock.json"
    program = REPOSITORY / "node_modules" / ".bin" / "cdk"
    current = installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime
    if not (current and program.exists()):
        try:
            _run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
        except NodeFailed:
            # A half-installed folder would pass for an installed one.
            shutil.rmtree(REPOSITORY / "node_modules", ignore_errors=True)
            raise
        installed.touch()
    return CdkCli(program, _run("node", "--version"))


def _run(*command: str) -> str:
    """What it prints."""
    done = subprocess.run(
        [str(Path(NODE_FOLDER) / command[0]), *command[1:]],
        cwd=REPOSITORY,
        env={**os.environ, "PATH": SEARCH_PATH},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NodeFailed(
            f"`{' '.join(command[:2])}` failed: {said[-1] if said else done.returncode}. Look at "
            "the network and at npm's registry settings, then run this again."
        )
    return done.stdout.strip()
