"""API Gateway before the front door, in one process: a WSGI application, and served on a port."""

import base64
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from itertools import count
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from authorizer.handler import key_of
from stacks.components.gateway_refusals import Refusal, refusals
from stacks.components.inference_api import PATHS, STAGE
from stacks.settings import ROOT, load

KEY = "a-key"
_REFUSALS = refusals(load(json.loads((ROOT / "cdk.json").read_text())["context"]).api)
BATCH_PATHS = ("/files", "/files/{proxy+}", "/batches", "/batches/{proxy+}")
Respond = Callable[[Mapping[str, Any]], dict[str, Any]]
"""The front door: an event in, a response out."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def served(respond: Respond) -> Iterator[str]:
    """The API's URL, with its stage."""
    application = wsgi_gateway(respond)
    with make_server("127.0.0.1", 0, application, _Server, _Quiet) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{STAGE}"
        finally:
            server.shutdown()


def wsgi_gateway(respond: Respond) -> Callable[..., Iterable[bytes]]:
    """With stage, as its callers see it: /v1/models. It takes the one KEY, counts the requests as
    their ids, and hands forms on as base64."""
    ids = count(1)

    def application(environ: Mapping[str, Any], start_response: Any) -> Iterable[bytes]:
        request_id = f"request-{next(ids)}"
        event = _event(environ, request_id)
        if key_of(event["headers"]) == KEY:
            response = respond(event)
        else:
            response = _refused(_REFUSALS["INVALID_API_KEY"], request_id)
        status = HTTPStatus(response["statusCode"])
        start_response(f"{status.value} {status.phrase}", list(response["headers"].items()))
        return [response["body"].encode()]

    return application


def _event(environ: Mapping[str, Any], request_id: str) -> dict[str, Any]:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").title(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }
    # WSGI's texts are bytes read as Latin-1 (PEP 3333).
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    is_form = environ.get("CONTENT_TYPE", "").startswith("multipart/form-data")
    own = path.removeprefix(f"/{STAGE}")
    resource, parameters = _resource(own)
    return {
        "resource": resource,
        "path": own,
        "pathParameters": parameters,
        "queryStringParameters": dict(parse_qsl(environ.get("QUERY_STRING", ""), True)) or None,
        "httpMethod": environ["REQUEST_METHOD"],
        "headers": headers,
        "requestContext": {
            "requestId": request_id,
            "identity": {"apiKeyId": "key-1"},
            "domainName": environ.get("HTTP_HOST", ""),
            "path": path,
        },
        "body": (base64.b64encode(body).decode() if is_form else body.decode("utf-8", "replace"))
        or None,
        "isBase64Encoded": is_form,
    }


def _resource(path: str) -> tuple[str, dict[str, str] | None]:
    for template in (*BATCH_PATHS, *PATHS):
        pattern = re.sub(r"\{(\w+)\+\}", r"(?P<\1>.+)", template)
        match = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern), path)
        if match:
            return template, match.groupdict() or None
    return "/{proxy+}", {"proxy": path}


def _refused(refusal: Refusal, request_id: str) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "x-request-id": request_id}
    return {
        "statusCode": refusal.status,
        "headers": headers | refusal.headers(),
        "body": refusal.body(),
    }
