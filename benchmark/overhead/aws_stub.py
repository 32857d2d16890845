"""SSM, the SageMaker runtime and S3 as far as the front door calls them, answering at once."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sd_contract.invocation import STAGES, Answer
from sd_contract.registration import Registration
from sd_contract.size import Size

# As large as a 512x512 photograph's PNG.
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 1600
VARIANT = Registration(
    name="g5",
    endpoint_name="sd-g5",
    engine="diffusers",
    instance_type="ml.g5.xlarge",
    instance_count=1,
    price_usd_per_hour=None,
    price_date=None,
    price_source=None,
    region="us-east-1",
    sizes=(Size(512, 512),),
    max_images=4,
    default_steps=25,
    max_steps=100,
    default_guidance_scale=7.5,
    seconds_per_step=0.01,
    model_id="stub",
    revision="stub",
    license="stub",
    license_url="stub",
    artifact_key="stub",
    default=True,
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/invocations"):
            self._answer(_drawn(json.loads(body)))
        elif self.command == "PUT":
            self._answer(b"")
        else:
            parameter = {
                "Name": f"/stub/{VARIANT.name}",
                "Value": VARIANT.to_json(),
                "LastModifiedDate": 1795377600.0,
            }
            self._answer(json.dumps({"Parameters": [parameter]}).encode())

    do_PUT = do_POST

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def _drawn(asked: dict[str, Any]) -> bytes:
    engine = {"images_in_batch": 1, "prompt_tokens": 5, "negative_prompt_tokens": 2}
    timings = dict.fromkeys(STAGES, 1.0)
    return Answer((PICTURE,), (asked["seed"],), timings, engine).to_json()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        """The function ends with its connections open."""


@contextmanager
def aws_stub() -> Iterator[str]:
    """Its URL."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
