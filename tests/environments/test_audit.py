"""`make audit`, the real pip-audit and npm against services that answer, don't, or aren't there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.audit import npm_audit, pip_audit

pytestmark = pytest.mark.environments

NOWHERE = "http://127.0.0.1:9"
OF_OSV = {
    "vulns": [
        {
            "id": "PYSEC-2026-1",
            "summary": "planted",
            "affected": [
                {
                    "package": {"name": "planted", "ecosystem": "PyPI"},
                    "ranges": [
                        {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}
                    ],
                }
            ],
        }
    ]
}
OF_NPM = {
    "planted": [
        {
            "id": 1,
            "url": "https://example.com",
            "title": "Planted",
            "severity": "high",
            "vulnerable_versions": "<2.0.0",
        }
    ]
}


@pytest.fixture
def service() -> Iterator[tuple[str, dict[str, Any]]]:
    """Its address, and what it answers by path, of what is asked about `planted`; {} else."""
    answers: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["content-length"]))
            answer = answers.get(self.path)
            body = json.dumps(answer if b"planted" in asked or asked[:1] == b"\x1f" else {})
            self.send_response(405 if answer is None else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()
        thread.join()


@pytest.fixture
def python(tmp_path: Path) -> list[str]:
    (tmp_path / "requirements.txt").write_text("planted==1.0\nsound==1.0\n")
    return ["--disable-pip", "--no-deps", "-r", str(tmp_path / "requirements.txt")]


@pytest.fixture
def node(tmp_path: Path) -> Path:
    lock = {
        "name": "app",
        "lockfileVersion": 3,
        "packages": {
            "": {"name": "app", "dependencies": {"planted": "1.0.0"}},
            "node_modules/planted": {"version": "1.0.0"},
        },
    }
    (tmp_path / "package-lock.json").write_text(json.dumps(lock))
    manifest = {"name": "app", "dependencies": {"planted": "1.0.0"}}
    (tmp_path / "package.json").write_text(json.dumps(manifest))
    return tmp_path


def test_pip_audit_finds_what_is_published(
    service: tuple[str, dict[str, Any]], python: list[str]
) -> None:
    url, answers = service
    answers["/v1/query"] = OF_OSV
    audit = pip_audit("it", *python, osv=f"{url}/v1/query")
    assert str(audit) == "found       it:\n  planted 1.0: PYSEC-2026-1, mended by 1.1"
    answers["/v1/query"] = {}
    assert str(pip_audit("it", *python, osv=f"{url}/v1/query")) == "ok          it"


def test_pip_audit_says_that_its_service_can_not_be_asked(
    service: tuple[str, dict[str, Any]], python: list[str]
) -> None:
    for url in (NOWHERE, service[0]):  # nobody there, and a proxy that refuses
        audit = pip_audit("it", *python, osv=f"{url}/v1/query")
        assert str(audit).startswith("can't tell  it: ")
        assert audit.found == ()


def test_npm_audit_finds_what_is_published(service: tuple[str, dict[str, Any]], node: Path) -> None:
    url, answers = service
    answers["/-/npm/v1/security/advisories/bulk"] = OF_NPM
    audit = npm_audit("it", node, registry=url)
    assert str(audit) == "found       it:\n  planted: high, Planted"
    answers["/-/npm/v1/security/advisories/bulk"] = {}
    assert str(npm_audit("it", node, registry=url)) == "ok          it"


def test_npm_audit_says_that_its_service_can_not_be_asked(
    service: tuple[str, dict[str, Any]], node: Path
) -> None:
    for url in (NOWHERE, service[0]):
        audit = npm_audit("it", node, registry=url)
        assert str(audit).startswith("can't tell  it: ")
        assert audit.found == ()
