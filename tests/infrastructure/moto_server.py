"""moto's server in a process of its own, and what a bootstrapped account has before a deploy."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.infrastructure.physical_values import ACCOUNT


@dataclass
class Moto:
    url: str
    region: str
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            session = boto3.Session("AKIAFAKE", "fake", region_name=self.region)
            self._clients[service] = session.client(
                service, endpoint_url=self.url, config=Config(retries={"total_max_attempts": 1})
            )
        return self._clients[service]

    def send(self, method: str, path: str, document: Any) -> None:
        """To moto's own interfaces."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=json.dumps(document).encode(),
            headers={"Content-Type": ""},  # with urllib's own, the body would be taken for a form
            method=method,
        )
        with urllib.request.urlopen(request):
            pass


@contextmanager
def moto_server(region: str) -> Iterator[Moto]:
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", "0"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if " * Running on " in line:
                break
        else:
            raise RuntimeError("moto's server didn't come up:\n" + "".join(said))
        # A full pipe would hold the server up.
        drain = threading.Thread(target=lambda log: list(log), args=(process.stderr,))
        drain.start()
        try:
            moto = Moto(line.split()[-1], region)
            # Without this, a custom resource has its function run in Docker.
            moto.send("POST", "/moto-api/config", {"lambda": {"use_docker": False}})
            yield moto
        finally:
            process.terminate()
            drain.join()


def bootstrap(moto: Moto, assembly: Path) -> None:
    """What `cdk bootstrap` leaves, as far as templates need it, and the app's assets."""
    moto.client("ssm").put_parameter(
        Name="/cdk-bootstrap/hnb659fds/version", Type="String", Value="21"
    )
    s3 = moto.client("s3")
    s3.create_bucket(Bucket=f"cdk-hnb659fds-assets-{ACCOUNT}-{moto.region}")
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("handler.py", "")
    for assets in assembly.glob("*.assets.json"):
        for file in json.loads(assets.read_text())["files"].values():
            for destination in file["destinations"].values():
                if destination["objectKey"].endswith(".zip"):
                    s3.put_object(
                        Bucket=f"cdk-hnb659fds-assets-{ACCOUNT}-{moto.region}",
                        Key=destination["objectKey"],
                        Body=empty.getvalue(),
                    )
