"""Serves a DJL model folder over HTTP without DJL: `python -m local_cloud.djl_host`.

DJL Serving is a Java server in front of a Python process; this is that server's part for one
model, after v0.27.0. As there (serving/ModelServer.java: `wait_model_loading`), the port is bound
once the model is loaded and warm, so `/ping` either answers 200 or is refused. What fails at
start-up is the last line, `FATAL: <reason>`, and the exit status is 1.

Not here: restarting a worker that died (the container ends instead), time limits on a prediction,
multipart forms, streamed answers, `Output.finalize`, several models.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local_cloud import djl_messages
from local_cloud.djl_batching import BadBatch, Handle, QueueFull, Worker, invoke
from local_cloud.djl_messages import Input, Output
from local_cloud.djl_properties import (
    ModelSettings,
    PropertiesError,
    load_settings,
    parse_load_models,
)

CONTAINER_MODEL_DIR = "/opt/ml/model"
"""Where SageMaker puts the weights; here SM_MODEL_DIR says where that is."""
_CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"


class StartFailed(Exception):
    """The message is the whole reason."""


class HostedHandler:
    """The handler function of a model folder, initialized."""

    def __init__(self, folder: Path, settings: ModelSettings, env: Mapping[str, str]) -> None:
        """Raises StartFailed."""
        self._folder = folder
        sys.path.insert(0, str(folder))  # as DJL's PYTHONPATH: PyEnv.java getEnvironmentVars
        try:
            module = importlib.import_module(settings.entry_point.removesuffix(".py"))
            self._function: Handle = getattr(module, settings.handler)
        except Exception as error:
            raise StartFailed(f"{settings.entry_point}: {type(error).__name__}: {error}") from error
        request = Input()
        request.properties.update(settings.options)
        if request.properties.get("model_id") == CONTAINER_MODEL_DIR and "SM_MODEL_DIR" in env:
            request.properties["model_id"] = env["SM_MODEL_DIR"]
        if settings.engine != "Python":  # started through mpirun, which is told the degree
            degree = settings.options.get("tensor_parallel_degree", "1")
            request.properties["tensor_parallel_degree"] = 1 if degree == "max" else int(degree)
        output = invoke(self, request)
        if output.code >= 300:
            raise StartFailed(_reason(output))

    def __call__(self, request: Input) -> object:
        request.properties["model_dir"] = str(self._folder)
        request.properties.setdefault("device_id", "-1")
        return self._function(request)


def _reason(output: Output) -> str:
    try:
        document = json.loads(output.content.value_at(0))
        return str(document["error"])
    except (IndexError, ValueError, KeyError, TypeError):
        return f"{output.code} {output.message}"


def make_app(worker: Worker) -> Starlette:
    async def ping(_: Request) -> Response:
        return JSONResponse({})

    async def invocations(request: Request) -> Response:
        try:
            answer = worker.submit(parse_request(request.headers.items(), await request.body()))
            output = await asyncio.wrap_future(answer)
        except QueueFull as error:
            return _error(503, "WlmCapacityException", error)
        except BadBatch as error:
            return _error(400, "TranslateException", error)
        body = bytes(output.content.value_at(0)) if output.content.size() else b""
        return Response(body, output.code, output.properties)

    return Starlette(
        routes=[
            Route("/ping", ping, methods=["GET"]),
            Route("/invocations", invocations, methods=["POST"]),
        ]
    )


def parse_request(headers: Sequence[tuple[str, str]], body: bytes) -> Input:
    """serving/http/RequestParser.java: headers become properties, SageMaker's custom attributes one
    property each, the body the content "data"."""
    request = Input()
    for name, value in headers:
        if name.lower() == _CUSTOM_ATTRIBUTES:
            for token in value.split(";"):
                key, equals, said = token.partition("=")
                if equals:
                    request.properties[key.strip()] = said.strip()
        else:
            request.properties[name] = value
    request.content.add("data", body)
    return request


def _error(status: int, kind: str, error: Exception) -> Response:
    return JSONResponse({"code": status, "type": kind, "message": str(error)}, status)


def start(arguments: argparse.Namespace, env: Mapping[str, str]) -> tuple[Worker, Any]:
    """Loads the model. Returns its running worker and the bound socket. Raises StartFailed."""
    try:
        folder, engine = _model_folder(arguments, env)
        settings = load_settings(folder, env, engine)
    except PropertiesError as error:
        raise StartFailed(str(error)) from error
    _log(f"{settings}")
    djl_messages.provide()
    handler = HostedHandler(folder, settings, env)
    worker = Worker(
        handler,
        batch_size=settings.batch_size,
        max_batch_delay_s=settings.max_batch_delay_ms / 1000,
        queue_size=settings.job_queue_size,
        observe=lambda size: _log(f"DynamicBatchSize.Count/Item:{size}|#Model:{folder.name}"),
    )
    port = env.get("SAGEMAKER_BIND_TO_PORT", "8080")
    try:
        listener = socket.create_server(("127.0.0.1", int(port)), backlog=128)
    except (OSError, ValueError, OverflowError) as error:
        raise StartFailed(f"port {port} can't be bound: {error}") from error
    worker.start()
    return worker, listener


def _model_folder(arguments: argparse.Namespace, env: Mapping[str, str]) -> tuple[Path, str | None]:
    if arguments.model_dir:
        return Path(arguments.model_dir).resolve(), None
    hosted = parse_load_models(env.get("SERVING_LOAD_MODELS", ""))
    rootfs = Path(arguments.rootfs or "/")
    return (rootfs / str(hosted.folder).lstrip("/")).resolve(), hosted.engine


def main(argv: Sequence[str], env: Mapping[str, str]) -> int:
    parser = argparse.ArgumentParser(prog="djl_host", description="Serve a DJL model folder.")
    parser.add_argument("--model-dir", help="folder with serving.properties and the entry point")
    parser.add_argument(
        "--rootfs",
        default=env.get("SD_LOCAL_ROOTFS"),
        help="the image's files, in which the folder of SERVING_LOAD_MODELS lies",
    )
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    try:
        worker, listener = start(parser.parse_args(argv), env)
    except StartFailed as error:
        print(f"FATAL: {' '.join(str(error).split())}", flush=True)
        return 1
    config = uvicorn.Config(
        make_app(worker), http="h11", ws="none", lifespan="off", log_config=None, access_log=False
    )
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _log(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    status = main(sys.argv[1:], os.environ)
    sys.stdout.flush()
    # Not sys.exit: it would wait for threads that may still be inside PyTorch.
    os._exit(status)
