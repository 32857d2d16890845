"""The Python process behind DJL Serving: `python -m local_cloud.djl.engine FOLDER FILE FD`.

After setup/djl_python_engine.py of djl-serving v0.27.0: imports the entry point, says so, and then
answers one message after the other with its `handle` until the host is gone. Messages go over the
socket FD as pickles, where DJL has a format of its own.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection

from local_cloud.djl.messages import Input, Output, provide

_OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError")

logger = logging.getLogger("local_cloud.djl")


def invoke(handle: Callable[[Input], Output | None], request: Input) -> Output:
    """What is answered, whatever the handler does."""
    try:
        returned = handle(request)
    except Exception as error:
        logger.exception("Failed invoke service.invoke_handler()")
        if type(error).__name__ in _OUT_OF_MEMORY:
            return Output(507, str(error))
        return Output().error(str(error))
    return Output(204, "No content") if returned is None else returned


def serve(handle: Callable[[Input], Output | None], host: Connection, folder: str) -> None:
    """Until the host closes its end."""
    while True:
        try:
            request: Input = host.recv()
        except EOFError:
            return
        request.properties |= {"model_dir": folder, "device_id": "-1"}
        # A number, as it comes from this process's own arguments.
        request.properties["tensor_parallel_degree"] = 1
        output = invoke(handle, request)
        host.send(output)
        output.execute_finalize()


def main(folder: str, file: str, descriptor: str) -> None:
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    provide()
    handle = importlib.import_module(file.removesuffix(".py")).handle
    logger.info("Python engine started.")
    serve(handle, Connection(int(descriptor)), folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
