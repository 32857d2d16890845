"""The entry point that DJL Serving calls: `handle(inputs) -> Output`, once without content to
initialize, then for every request or batch of requests (setup/djl_python_engine.py and
PyPredictor.java of djl-serving v0.27.0).

A batch has one status and one set of headers for all its answers. So in a batch of several an
error is told by its body alone, with status 200, and pictures come as JSON whatever `Accept` says:
callers judge by the body's `error.type`. A request that comes alone gets the status and the type
that the other variants give.

A process that can't compute any more leaves, after its answer; so does whatever else kills it end
the container (watch.py).
"""

from __future__ import annotations

import http
import os
import subprocess
import traceback
from collections.abc import Callable
from dataclasses import replace

from djl_python import Input, Output

from djl.batch_engine import BatchEngine
from djl.loading import load_engine, this_machine
from djl.options import DjlOptions
from djl.watch import end_server_with_this_process
from sd_contract.invocation import JSON
from sd_contract.limits import PATIENT
from sd_serving.config import ServingConfig
from sd_serving.errors import EngineError, reason
from sd_serving.handler import Call, Handler, Reply, call_id
from sd_serving.logs import Log, print_event, print_line


class DjlService:
    def __init__(
        self,
        engine: BatchEngine,
        config: ServingConfig,
        log: Log,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        """`leave` ends the process with a status."""
        self._engine = engine
        self._handler = Handler(engine, config, log)
        self._log = log
        self._leave = leave

    def answer(self, inputs: Input) -> Output:
        """One Output for the one or the many requests in `inputs`."""
        members = inputs.get_batches()
        self._engine.begin(patient=all(each.get_property(PATIENT) for each in members))
        if len(members) == 1:
            accept = members[0].get_property("accept") or ""
            replies = self._respond([_call(members[0], accept)])
            output = _single_output(replies[0])
        else:
            replies = self._respond([_call(each, "") for each in members])
            output = Output().add_property("content-type", JSON)
            for index, reply in enumerate(replies):
                output.add(reply.body, batch_index=index)
        if any(reply.status == EngineError.status for reply in replies) and not self._computes():
            output.finalize(self._leave, 1)
        return output

    def _computes(self) -> bool:
        """Some failures (a CUDA assertion) leave a process that can never compute again."""
        try:
            self._engine.warm_up()
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes into the last line
            _say_why(self._log, "broken", error)
            return False
        return True

    def _respond(self, calls: list[Call]) -> list[Reply]:
        replies = self._handler.respond_batch(calls)
        self._log(
            "batch",
            requests=len(calls),
            errors=sum(reply.status != 200 for reply in replies),
            groups=[vars(group) for group in self._engine.groups],
        )
        return replies


def _call(request: Input, accept: str) -> Call:
    # DJL makes a property of each header and of each `name=value` among SageMaker's custom
    # attributes (RequestParser.java).
    sent = (request.get_property(n) or "" for n in ("x-amzn-sagemaker-inference-id", "request_id"))
    return Call(bytes(request.get_as_bytes() or b""), accept, call_id(*sent))


def _single_output(reply: Reply) -> Output:
    output = Output(reply.status, http.HTTPStatus(reply.status).phrase)
    for name, value in {"content-type": reply.content_type, **reply.headers}.items():
        output.add_property(name, value)
    return output.add(reply.body)


def start(inputs: Input, log: Log = print_event) -> DjlService:
    """Raises whatever keeps the model from being served, after its reason went out as a line of its
    own: DJL's says no more than that the initialization failed."""
    try:
        options = DjlOptions.from_properties(inputs.get_properties())
        config = replace(ServingConfig.from_env(os.environ), model_dir=options.model_dir)
        engine = load_engine(options, config, log, this_machine())
    except Exception as error:
        _say_why(log, "load_failed", error)
        raise
    log("ready", **engine.parts.describe())
    return DjlService(engine, config, log)


def _say_why(log: Log, event: str, error: Exception) -> None:
    log(event, traceback="".join(traceback.format_exception(error)))
    print_line(f"FATAL: {reason(error)}")


_service: DjlService | None = None
_watcher: subprocess.Popen[bytes] | None = None


def handle(inputs: Input) -> Output | None:
    """None for DJL's call without content, which it sends once to initialize; a caller's that has
    none (a form's, say) comes later."""
    global _service, _watcher
    if _service is None:
        _service = start(inputs)
        _watcher = end_server_with_this_process()
        return None
    return _service.answer(inputs)
