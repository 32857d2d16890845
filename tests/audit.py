"""`make audit`: what is published against the packages of this app, its images and its checks.

It asks OSV (https://osv.dev), through pip-audit, and npm's registry. Neither answers everywhere, so
it is no part of `make test`; one that can't be asked is said, and doesn't pass.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.environments.test_environments import install

ROOT = Path(__file__).parents[1]
OSV, NPM = "https://api.osv.dev/v1/query", "https://registry.npmjs.org"
FOUND, UNKNOWN = 1, 2
"""What it ends with; 0 when all was asked and nothing is known."""


@dataclass(frozen=True)
class Audit:
    """`unknown` says why nothing can be said."""

    what: str
    found: tuple[str, ...] = ()
    unknown: str = ""

    def __str__(self) -> str:
        if self.unknown:
            return f"can't tell  {self.what}: {self.unknown}"
        if self.found:
            return "\n  ".join([f"found       {self.what}:", *self.found])
        return f"ok          {self.what}"


def pip_audit(what: str, *arguments: str, osv: str = OSV) -> Audit:
    """`arguments` say which packages, as pip-audit takes them."""
    packages = install("checks")
    program = [sys.executable, "-W", "ignore", str(packages / "bin" / "pip-audit")]
    options = ["-s", "osv", "--osv-url", osv, "-f", "json", "--progress-spinner", "off"]
    report, said = _asked([*program, *options, *arguments], PYTHONPATH=str(packages))
    if "dependencies" not in report:
        return Audit(what, unknown=said)
    found, skipped = [], []
    for package in report["dependencies"]:
        # pip-audit passes over what it can't ask for, and ends well.
        if reason := package.get("skip_reason"):
            skipped.append(reason)
        for known in package.get("vulns", ()):
            fixed = ", ".join(known["fix_versions"]) or "nothing yet"
            found.append(
                f"{package['name']} {package['version']}: {known['id']}, mended by {fixed}"
            )
    return Audit(what, tuple(found), "" if found else "; ".join(skipped))


def npm_audit(what: str, folder: Path = ROOT, *, registry: str = NPM) -> Audit:
    """Of a folder's package-lock.json."""
    # A service that isn't there is asked once: by default npm takes minutes over it.
    options = ["--json", "--package-lock-only", "--fetch-retries=0", f"--registry={registry}"]
    npm = Path(sys.executable).with_name("npm")
    report, said = _asked([str(npm), "audit", *options], folder)
    if "vulnerabilities" not in report:
        return Audit(what, unknown=str(report.get("message") or said))
    return Audit(
        what,
        tuple(
            f"{name}: {known['severity']}, {_titles(known['via'])}"
            for name, known in report["vulnerabilities"].items()
        ),
    )


def _titles(via: list[Any]) -> str:
    """An advisory's title, or the package through which one reaches this."""
    return ", ".join(each if isinstance(each, str) else f"{each['title']}" for each in via)


def _asked(command: list[str], folder: Path = ROOT, **env: str) -> tuple[dict[str, Any], str]:
    """The report, empty if there is none, and the last that was said beside it."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    *_, said = ["nothing", *done.stderr.strip().splitlines()]
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {}, said
    return report, said


def audits() -> Iterator[Audit]:
    yield pip_audit(".venv", "--path", sysconfig.get_path("purelib"))
    exact = (
        *sorted((ROOT / "tests" / "environments").glob("*.txt")),
        *sorted((ROOT / "stacks" / "build_scripts").glob("requirements-*.txt")),
    )
    for file in exact:
        name = str(file.relative_to(ROOT))
        yield pip_audit(name, "--disable-pip", "--no-deps", "-r", name)
    yield npm_audit("package-lock.json")


def main() -> int:
    results = []
    for audit in audits():
        print(audit, flush=True)
        results.append(audit)
    if any(audit.found for audit in results):
        return FOUND
    return UNKNOWN if any(audit.unknown for audit in results) else 0


if __name__ == "__main__":
    sys.exit(main())
