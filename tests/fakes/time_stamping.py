"""A time-stamping authority (RFC 3161) on this machine, whose stamps openssl makes."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

CONFIG = """
[tsa]
default_tsa = it
[it]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[stamps]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
authorityKeyIdentifier = keyid
"""


@dataclass
class TimeStamping:
    url: str
    anchor: str
    """PEM, of its root."""
    works: bool = True
    asked: list[str] = field(default_factory=list)
    """Content types."""


@contextmanager
def time_stamping(folder: Path) -> Iterator[TimeStamping]:
    config = folder / "tsa.cnf"
    config.write_text(CONFIG.format(folder=folder))
    (folder / "serial").write_text("01")
    new = ("req", "-newkey", "rsa:2048", "-nodes", "-config", "tsa.cnf")
    root = ("-x509", "-extensions", "root", "-keyout", "ca.key", "-out", "ca.pem")
    _openssl(folder, *new, *root, "-subj", "/CN=Root")
    _openssl(folder, *new, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Stamps")
    sign = ("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key")
    extended = ("-CAcreateserial", "-extfile", "tsa.cnf", "-extensions", "stamps")
    _openssl(folder, *sign, *extended, "-out", "tsa.pem")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            authority.asked.append(self.headers["Content-Type"])
            if not authority.works:
                self.send_error(503)
                return
            (folder / "query").write_bytes(body)
            reply = ("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply")
            _openssl(folder, *reply)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write((folder / "reply").read_bytes())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        authority = TimeStamping(url, (folder / "ca.pem").read_text())
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield authority
        finally:
            server.shutdown()
            thread.join()


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
