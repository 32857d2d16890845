"""Serves a DJL model folder over HTTP without DJL: `python -m local_cloud.djl.host ROOTFS`.

DJL Serving is a Java server in front of a Python process; this is that server's part for one
model, after v0.27.0, as far as this project can meet it. What one wouldn't expect of it, each seen
with the real server (its Java built from the tag, mpirun, one GPU made believe) and found in the
source that is named:

- The Python process dies over a request: 503 WlmException for its batch, then 503
  WlmCapacityException (for a minute; what comes after it isn't here). `/ping` is 200 all the while.
  With SERVING_RETRY_THRESHOLD=0, as our image has it, it is 500 FAILED from then on, and every
  request 503 "Model is not ready" (PyProcess.predict, WorkLoadManager.runJob, ModelInfo.getStatus).
- A request takes longer than PREDICT_TIMEOUT, 240 s in the image: the process is killed, the rest
  is the same (PyProcess.predict).
- It dies between two requests: every request is 400 TranslateException "Backend Python process is
  stopped." for good, and `/ping` 200, whatever the threshold (PyPredictor.batchPredict).
- What waits in the queue when the worker ends is never answered (WorkerThread.shutdown).
- The queue's last place is refused while the worker is at work (WorkLoadManager.runJob).
- Its output has a prefix, `[INFO ] PyProcess - W-<pid>-djl-stdout: [1,0]<stdout>:`. mpirun's part
  of it stands before each read of at most 4096 bytes: a line of two writes, or a long one, has it
  inside too (conf/log4j2-plain.xml; `mpirun --tag-output`, orte/mca/iof).
- Lines with [METRICS] go to logs/model_metric.log in the container (PyProcess.ReaderThread).
- Custom attribute `batch_size=2`: 424, for it is taken for a batch (djl_python/inputs.py).
- A form is parsed; one without a field has no content at all (RequestParser.parseRequest).
- A batch has one status and one set of headers (PyPredictor.batchPredict).

As there (serving/ModelServer.java: `wait_model_loading`), the port is bound once the model is
loaded and warm, so `/ping` either answers or is refused. What fails at start-up ends the host with
status 1.

Not here: multipart forms, asynchronous requests, the cache, streamed answers, several models.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local_cloud.djl.batching import DjlError, Worker
from local_cloud.djl.messages import Input
from local_cloud.djl.process import ProcessLost, PythonProcess, log
from local_cloud.djl.properties import HostedModel, load_model_settings

CONTAINER_MODEL_DIR = "/opt/ml/model"
"""Where SageMaker puts the weights; here SM_MODEL_DIR says where that is."""
_CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_FORM = "application/x-www-form-urlencoded"


class StartFailed(Exception):
    """The message is the whole reason."""


def load_model(hosted: HostedModel, env: Mapping[str, str]) -> PythonProcess:
    """The Python process once its handler has answered a request without content.
    Raises StartFailed."""
    process = PythonProcess(hosted.folder, hosted.entry_point, env)
    request = Input()
    request.properties.update(hosted.options)
    if request.properties.get("model_id") == CONTAINER_MODEL_DIR and "SM_MODEL_DIR" in env:
        request.properties["model_id"] = env["SM_MODEL_DIR"]
    try:
        output = process.predict(request, hosted.loading_timeout_s)
    except ProcessLost as error:
        raise StartFailed(f"Failed to loaded model. {error}") from error
    if output.code >= 300:
        process.stop()
        raise StartFailed(f"Failed to initialize model: {output.message}")
    return process


def make_app(worker: Worker) -> Starlette:
    async def ping(_: Request) -> Response:
        status = worker.status
        return JSONResponse({"djl": {"status": status}}, 500 if status == "FAILED" else 200)

    async def invocations(request: Request) -> Response:
        sent = parse_request(request.headers.items(), await request.body())
        try:
            output = await asyncio.wrap_future(worker.submit(sent))
        except DjlError as error:
            document = {
                "code": error.status,
                "type": type(error).__name__,
                "message": str(error),
            }
            return JSONResponse(document, error.status)
        body = bytes(output.content.value_at(0)) if output.content.size() else b""
        return Response(body, output.code, output.properties)

    return Starlette(
        routes=[
            Route("/ping", ping, methods=["GET"]),
            Route("/invocations", invocations, methods=["POST"]),
        ]
    )


def parse_request(headers: Sequence[tuple[str, str]], body: bytes) -> Input:
    """Headers become properties, SageMaker's custom attributes one property each, the body the
    content "data", or a form's fields one content each."""
    request = Input()
    for name, value in headers:
        if name.lower() == _CUSTOM_ATTRIBUTES:
            for token in value.split(";"):
                key, equals, said = token.partition("=")
                if equals:
                    request.properties[key.strip()] = said.strip()
        else:
            request.properties[name] = value
    if str(request.get_property("content-type") or "").split(";")[0].strip().lower() == _FORM:
        for key, value in parse_qsl(body.decode("utf-8", "replace")):
            request.content.add(key, value.encode())
    else:
        request.content.add("data", body)
    return request


def start(rootfs: Path, env: Mapping[str, str]) -> tuple[Worker, socket.socket]:
    """Loads the model. Returns its running worker and the bound socket. Raises StartFailed."""
    try:
        hosted = load_model_settings(rootfs, env)
    except (ValueError, OSError) as error:
        raise StartFailed(str(error)) from error
    log("ModelInfo", f"{hosted}")
    worker = Worker(
        load_model(hosted, env),
        batch_size=hosted.batch_size,
        max_batch_delay_s=hosted.max_batch_delay_s,
        queue_size=hosted.job_queue_size,
        timeout_s=hosted.predict_timeout_s,
        retry_threshold=hosted.retry_threshold,
    )
    listener = listen(env.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    worker.start()
    return worker, listener


def listen(port: str) -> socket.socket:
    """Raises StartFailed."""
    try:
        listener = socket.create_server(("127.0.0.1", int(port)), backlog=128)
    except (OSError, ValueError, OverflowError) as error:
        raise StartFailed(f"port {port} can't be bound: {error}") from error
    # Connections inherit it. asyncio sets it only where a socket's proto isn't this one's 0.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def main(rootfs: Path, env: Mapping[str, str]) -> int:
    """`rootfs` holds the image's files. The exit status."""
    try:
        worker, listener = start(rootfs, env)
    except StartFailed as error:
        log("ModelServer", " ".join(str(error).split()), "ERROR")
        return 1
    config = uvicorn.Config(
        make_app(worker), http="h11", ws="none", lifespan="off", log_config=None, access_log=False
    )
    uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    status = main(Path(sys.argv[1]), os.environ)
    # Not sys.exit: it would wait for threads that are still at a prediction.
    os._exit(status)
