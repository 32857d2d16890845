"""The entry point that DJL Serving calls: `handle(inputs) -> Output`, once without content to
initialize, then for every request or batch of requests (setup/djl_python_engine.py and
PyPredictor.java of djl-serving v0.27.0).

A batch has one status and one set of headers for all its answers. So in a batch of several an
error is told by its body alone, with status 200, and pictures come as JSON whatever `Accept` says:
callers judge by the body's `error.type`. A request that comes alone gets the status and the type
that the other variants give.
"""

from __future__ import annotations

import http
import os
import re
import traceback
import uuid
from dataclasses import replace

from djl_python import Input, Output

from djl.batch_engine import BatchEngine
from djl.loading import load_engine, this_machine
from djl.options import DjlOptions
from sd_serving.config import ServingConfig
from sd_serving.errors import ServingError
from sd_serving.handler import JSON, Call, Handler, Reply
from sd_serving.logs import Log, print_event

_PLAIN_ID = re.compile(r"[\w.:=/+-]{1,128}", re.ASCII)


class Service:
    def __init__(self, engine: BatchEngine, config: ServingConfig, log: Log) -> None:
        self._engine = engine
        self._variant = config.variant
        self._handler = Handler(engine, config, log)
        self._log = log

    def answer(self, inputs: Input) -> Output:
        """One Output for the one or the many requests in `inputs`."""
        members = inputs.get_batches()
        if len(members) == 1:
            accept = members[0].get_property("accept") or ""
            (reply,) = self._respond([_call(members[0], accept)])
            return _single_output(reply)
        output = Output().add_property("content-type", JSON)
        for index, reply in enumerate(self._respond([_call(each, "") for each in members])):
            output.add(reply.body, batch_index=index)
        return output

    def _respond(self, calls: list[Call]) -> list[Reply]:
        self._engine.forget()
        replies = self._handler.respond_batch(calls)
        if any(g.outcome == "out_of_memory" and g.requests > 1 for g in self._engine.groups):
            # What was too much together may well fit alone.
            for number, reply in enumerate(replies):
                if reply.status >= 500:
                    replies[number] = self._handler.respond(calls[number])
        groups = self._engine.groups
        self._log(
            "batch",
            requests=len(calls),
            errors=sum(reply.status != 200 for reply in replies),
            groups=[group.as_dict() for group in groups],
        )
        for group in groups:
            # DJL takes such lines out of the log and into its `model_metric` one (PyProcess.java;
            # the form is ai.djl.metric.Metric's).
            for name, value in (("Requests", group.requests), ("Images", group.images)):
                print(
                    f"[METRICS]DenoiseBatch{name}.Count:{value}|#Model:{self._variant}", flush=True
                )
        return replies


def _call(request: Input, accept: str) -> Call:
    # DJL makes a property of each header and of each `name=value` among SageMaker's custom
    # attributes (RequestParser.java).
    for name in ("x-amzn-sagemaker-inference-id", "request_id"):
        sent = request.get_property(name) or ""
        if _PLAIN_ID.fullmatch(sent):
            break
    else:
        sent = uuid.uuid4().hex
    return Call(bytes(request.get_as_bytes() or b""), accept, sent)


def _single_output(reply: Reply) -> Output:
    output = Output(reply.status, http.HTTPStatus(reply.status).phrase)
    for name, value in {"content-type": reply.content_type, **reply.headers}.items():
        output.add_property(name, value)
    return output.add(reply.body)


def start(inputs: Input, log: Log = print_event) -> Service:
    """Raises ServingError, after its reason went out as a line of its own: DJL's says no more than
    that the initialization failed."""
    try:
        options = DjlOptions.from_properties(inputs.get_properties())
        config = replace(ServingConfig.from_env(os.environ), model_dir=options.model_dir)
        engine = load_engine(options, config, log, this_machine())
    except Exception as error:
        log("load_failed", traceback="".join(traceback.format_exception(error)))
        known = isinstance(error, ServingError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        print(f"FATAL: {' '.join(reason.split())}", flush=True)
        raise
    log("ready", **engine.parts.describe())
    return Service(engine, config, log)


_service: Service | None = None


def handle(inputs: Input | None) -> Output | None:
    """None for DJL's call without content, which it sends once to initialize."""
    global _service
    if _service is None:
        _service = start(inputs or Input())
    if inputs is None or inputs.is_empty():
        return None
    return _service.answer(inputs)
